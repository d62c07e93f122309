"""A small library, which the tests instrument: it knows nothing of telemetry."""


class Basket:
    def __init__(self):
        self.items = {}

    def add(self, item, quantity=1, *, gift=False):
        if quantity < 1:
            raise ValueError(f"cannot add {quantity} of {item}")
        self.items[item] = self.items.get(item, 0) + quantity
        return self.items[item]

    @classmethod
    def filled(cls, *items):
        basket = cls()
        for item in items:
            basket.items[item] = 1
        return basket

    @staticmethod
    def price(item):
        return len(item)

    async def reserve(self, item):
        if item not in self.items:
            raise KeyError(item)
        return f"reserved {item}"


class GiftBasket(Basket):
    """Inherits all it does."""


def parcels(items):
    for item in items:
        yield f"parcel of {item}"
    return len(items)


async def messages(items):
    for item in items:
        yield f"message on {item}"
