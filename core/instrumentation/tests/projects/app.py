"""A program that uses `cart` and knows nothing of telemetry."""

import cart

cart.Basket().add("tea")
