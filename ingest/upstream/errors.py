"""What a call may come to instead of an answer: four kinds, each asking for something else."""


class UpstreamError(Exception):
    """``code`` is the vendor's, or ours for what has none; ``message`` the vendor's words as far as there are any."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if code else message)
        self.code = code
        self.message = message


class Refused(UpstreamError):
    """A readable no that will stay a no: this item fails."""


class Wait(UpstreamError):
    """A readable no that has nothing to do with the item: it costs no attempt."""


class TooFast(Wait):
    """``0429``: the lane closes for a while, for everyone."""


class AccountTrouble(Wait):
    """``0401 0402 0403 9009``: the account pauses until a person does something."""


class Unavailable(UpstreamError):
    """Surely not accepted: no connection, or a fault at the vendor's edge that says so. Try again later."""


class Missing(Unavailable):
    """This call is not there: another address, or a vendor that does not have it. Asking again is in vain."""


class Unsure(UpstreamError):
    """Bytes left and no readable verdict came back. For a call that changes something: never blindly again."""
