// ccxt as it is, with another base URL and key pair: node bot.mjs URL KEY SECRET CALLS
import { createRequire } from "node:module";

const ccxt = createRequire(`${process.env.NODE_MODULES}/`)("ccxt");
const [url, apiKey, secret, calls] = process.argv.slice(2);
const exchange = new ccxt.kraken({ apiKey, secret, enableRateLimit: false });
exchange.urls.api = { ...exchange.urls.api, public: url, private: url };
const answers = await Promise.all(Array.from({ length: Number(calls) }, () => exchange.privatePostBalance()));
console.log(JSON.stringify(answers.map((answer) => answer.error)));
