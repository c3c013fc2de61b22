// One order with ccxt and maxRetriesOnFailure under Node.js: node repeats.mjs URL KEY SECRET TIMEOUT; prints its ids.
import { createRequire } from "node:module";

const ccxt = createRequire(`${process.env.NODE_MODULES}/`)("ccxt");
const [url, apiKey, secret, timeout] = process.argv.slice(2);
const options = { maxRetriesOnFailure: 3, maxRetriesOnFailureDelay: 1000 };
const exchange = new ccxt.kraken({ apiKey, secret, options, timeout: 1000 * timeout });
exchange.urls.api = { ...exchange.urls.api, public: url, private: url };
const made = await exchange.createOrder("BTC/USD", "market", "buy", 0.01, undefined, { clientOrderId: "O-1" });
console.log(JSON.stringify([made.id]));
