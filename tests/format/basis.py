"""What both halves of the second reader stand on: refusals, deterministic CBOR, strict signatures."""

from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

U16, U32, U64 = (1 << 16) - 1, (1 << 32) - 1, (1 << 64) - 1


class Refused(Exception):
    """Why bytes are not believed: a word for the class, and a sentence."""

    def __init__(self, verdict, why):
        super().__init__(why)
        self.verdict = verdict


def malformed(why):
    return Refused("malformed", why)


# Deterministic CBOR (RFC 8949 section 4.2.1), as far as the format uses it: unsigned numbers, byte strings, texts, arrays, and of the simple
# values false, true and null.


class Cbor:
    NUMBER, BYTES, TEXT, ARRAY, SIMPLE = 0, 2, 3, 4, 7
    FALSE, TRUE, NULL = 0xF4, 0xF5, 0xF6

    def __init__(self, data):
        self.data, self.at = data, 0

    def peek(self):
        """The major type of what comes next."""
        if self.at >= len(self.data):
            raise malformed("it ends where something should follow")
        return self.data[self.at] >> 5

    def head(self, wanted, what):
        major = self.peek()
        if major != wanted:
            raise malformed(f"{what} has CBOR type {major}, not {wanted}")
        info = self.data[self.at] & 31
        self.at += 1
        if info < 24:
            return info
        if info > 27:
            raise malformed(f"{what} has no length of its own (additional information {info})")
        width = 1 << (info - 24)
        raw = self.data[self.at : self.at + width]
        if len(raw) < width:
            raise malformed(f"{what} is cut")
        self.at += width
        value = int.from_bytes(raw, "big")
        if value < (24 if width == 1 else 1 << (4 * width)):
            raise malformed(f"{what} is written longer than need be")
        return value

    def number(self, greatest, what):
        value = self.head(self.NUMBER, what)
        if value > greatest:
            raise malformed(f"{what} is {value}, more than {greatest}")
        return value

    def bytes(self, what, length=None):
        size = self.head(self.BYTES, what)
        if length is not None and size != length:
            raise malformed(f"{what} has {size} bytes, not {length}")
        if size > len(self.data) - self.at:
            raise malformed(f"{what} is cut")
        self.at += size
        return self.data[self.at - size : self.at]

    def text(self, what, most):
        size = self.head(self.TEXT, what)
        if size > most:
            raise malformed(f"{what} has {size} bytes, more than {most}")
        if size > len(self.data) - self.at:
            raise malformed(f"{what} is cut")
        self.at += size
        try:
            return self.data[self.at - size : self.at].decode()
        except UnicodeDecodeError:
            raise malformed(f"{what} is no UTF-8") from None

    def array(self, what, fields=None):
        count = self.head(self.ARRAY, what)
        if fields is not None and count != fields:
            raise malformed(f"{what} has {count} fields, not {fields}")
        return count

    def simple(self, values, what):
        """One of the simple values, which are one byte each; None when another type comes."""
        if self.peek() != self.SIMPLE:
            return None
        if self.data[self.at] not in values:
            raise malformed(f"{what} is {self.data[self.at]:#x}")
        self.at += 1
        return self.data[self.at - 1]

    def boolean(self, what):
        value = self.simple((self.FALSE, self.TRUE), what)
        if value is None:
            raise malformed(f"{what} is neither false nor true")
        return value == self.TRUE

    def end(self):
        if self.at != len(self.data):
            raise malformed(f"{len(self.data) - self.at} bytes stand behind it")


# Signatures: ed25519 over SHA-256(context, 0x00, bytes), strict.

P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P


def is_point(key):
    """Whether 32 bytes decompress to a point of the curve."""
    y = (int.from_bytes(key, "little") & ((1 << 255) - 1)) % P
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    return square == 0 or pow(square, (P - 1) // 2, P) == 1


def is_small(point):
    """Whether the encoded point has an order of 8 or less: its y, doubled three times, is the neutral element's."""
    y = (int.from_bytes(point, "little") & ((1 << 255) - 1)) % P
    for _ in range(3):
        # y of 2(x, y) is (y^2 + x^2) / (1 - d x^2 y^2); x^2 follows from y.
        x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
        y = (y * y + x2) * pow(1 - D * x2 * y * y, P - 2, P) % P
    return y == 1


def digest(context, data):
    return sha256(context.encode() + b"\0" + data).digest()


def check(key, context, data, signature):
    if not is_point(key):
        raise malformed("the key is no point of the curve")
    if is_small(key) or is_small(signature[:32]):
        raise Refused("signature", "the key or the signature is of small order")
    try:
        # OpenSSL refuses S not below the group's order.
        Ed25519PublicKey.from_public_bytes(key).verify(signature, digest(context, data))
    except InvalidSignature:
        raise Refused("signature", "the signature is not by this key over these bytes") from None
