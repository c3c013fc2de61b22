"""For all tests: hypothesis judges what is right, not how long it takes on a busy machine."""

import hypothesis

hypothesis.settings.register_profile("krakenonce", deadline=None)
hypothesis.settings.load_profile("krakenonce")
