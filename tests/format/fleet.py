"""The second reader's half for a fleet's chain: links, rows of them, policies, wrapped keys.

A row is read link by link, each behind the one before. What stands beside another (a fork) is not read here; that is for
docs/adr/0008-a-fleet-is-a-signed-chain.md and the first reader.
"""

import hmac
import struct
import unicodedata
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from basis import U16, U32, U64, Cbor, Refused, check, digest, is_point, is_small, malformed

LINK = "hearth/fleet-link/1"
LINK_MAX, NAME_MAX, ADDRESS_MAX, REGION_MAX, POLICY_MAX = 128 << 10, 64, 255, 64, 64 << 10
ENDS_MAX, SIGNATURES_MAX, WRAPS_MAX, WRAPPED = 256, 16, 1025, 80
DEVICES_MAX, RELAYS_MAX, GUESTS_MAX, RESIDENCIES_MAX, HOMES_MAX = 1024, 64, 16, 64, 1024

CREATE, ADD_DEVICE, REVOKE, ROTATE, POLICY, ADD_RELAY, REMOVE_RELAY = range(1, 8)
ADD_ADMIN, REMOVE_ADMIN, SET_THRESHOLD, RESOLVE, ADD_SHEET, ADD_GUEST, REMOVE_GUEST = range(8, 15)


def refused(holds, verdict, why):
    if not holds:
        raise Refused(verdict, why)


def id_of(key):
    return sha256(b"hearth/device/1" + key).digest()[:16]


def is_plain(text):
    return all(unicodedata.category(c) != "Cc" for c in text)


def rising(values):
    return all(one < other for one, other in zip(values, values[1:]))


# One link. An action is read into a dictionary; its rules are asked once the whole link has been read.


def name(text):
    refused(text and is_plain(text), "name", "a name is empty or has a control character")


def usable(key):
    refused(is_point(key) and not is_small(key), "key", "a key is no point of the curve, or of small order")


def threshold(k):
    refused(1 <= k <= SIGNATURES_MAX, "threshold", f"a threshold of {k}")


def read_device(cbor):
    cbor.array("a device", 5)
    device = {"key": cbor.bytes("a device's key", 32), "wrap": cbor.bytes("its wrap key", 32)}
    device["name"], device["admin"] = cbor.text("its name", NAME_MAX), cbor.boolean("whether it is an admin")
    never = cbor.simple((Cbor.NULL,), "its expiry")
    device["expires"] = None if never else cbor.number(U64, "its expiry")
    device["id"] = id_of(device["key"])
    return device


def check_device(device):
    name(device["name"])
    usable(device["key"])
    refused(not device["admin"] or device["expires"] is None, "expiring-admin", "an admin's device expires")


def read_wraps(cbor, whom):
    count = cbor.array("wraps")
    if count > WRAPS_MAX:
        raise malformed(f"{count} wraps")
    wraps = []
    for _ in range(count):
        cbor.array("a wrap", 2)
        wraps.append((whom(cbor), cbor.bytes("a wrapped key", WRAPPED)))
    return wraps


def check_wraps(wraps):
    if not rising([whom for whom, _ in wraps]):
        raise malformed("wraps do not rise")


def read_ends(cbor):
    count = cbor.array("ends")
    if count > ENDS_MAX:
        raise malformed(f"{count} ends")
    ends = []
    for _ in range(count):
        cbor.array("an end", 3)
        ends.append((cbor.number(U64, "incarnation"), cbor.number(U64, "number"), cbor.bytes("head", 32)))
    return ends


READ = {
    CREATE: (4, lambda c: {"name": c.text("a fleet's name", NAME_MAX), "device": read_device(c), "k": c.number(255, "k")}),
    ADD_DEVICE: (2, lambda c: {"device": read_device(c)}),
    REVOKE: (3, lambda c: {"id": c.bytes("a device's id", 16), "ends": read_ends(c)}),
    ROTATE: (3, lambda c: {"epoch": c.number(U32, "epoch"), "wraps": read_wraps(c, lambda c: c.bytes("an id", 16))}),
    POLICY: (3, lambda c: {"epoch": c.number(U32, "epoch"), "bytes": c.bytes("a policy")}),
    ADD_RELAY: (4, lambda c: {"key": c.bytes("a relay's key", 32), "address": c.text("an address", ADDRESS_MAX),
                              "region": c.text("a region", REGION_MAX)}),
    REMOVE_RELAY: (2, lambda c: {"key": c.bytes("a relay's key", 32)}),
    ADD_ADMIN: (2, lambda c: {"id": c.bytes("a device's id", 16)}),
    REMOVE_ADMIN: (2, lambda c: {"id": c.bytes("a device's id", 16)}),
    SET_THRESHOLD: (2, lambda c: {"k": c.number(255, "a threshold")}),
    RESOLVE: (2, lambda c: {"keeps": c.bytes("what is kept", 32)}),
    ADD_SHEET: (4, lambda c: {"key": c.bytes("a sheet's key", 32), "wrap": c.bytes("its wrap key", 32),
                              "wraps": read_wraps(c, lambda c: c.number(U32, "an epoch"))}),
    ADD_GUEST: (3, lambda c: {"fleet": c.bytes("a guest's fleet", 16), "name": c.text("a guest's name", NAME_MAX)}),
    REMOVE_GUEST: (2, lambda c: {"fleet": c.bytes("a guest's fleet", 16)}),
}


def check_action(kind, action, fleet):
    if kind == CREATE:
        name(action["name"])
        check_device(action["device"])
        threshold(action["k"])
        if not action["device"]["admin"]:
            raise malformed("a fleet begins without an admin")
    elif kind == ADD_DEVICE:
        check_device(action["device"])
    elif kind == REVOKE:
        if not rising([incarnation for incarnation, _, _ in action["ends"]]):
            raise malformed("ends do not rise")
    elif kind == ROTATE:
        check_wraps(action["wraps"])
    elif kind == POLICY:
        refused(len(action["bytes"]) <= POLICY_MAX, "too-large", "a policy beyond the limit")
    elif kind == ADD_RELAY:
        usable(action["key"])
        refused(action["address"] and is_plain(action["address"] + action["region"]), "place", "a relay's place is not plain")
    elif kind == SET_THRESHOLD:
        threshold(action["k"])
    elif kind == ADD_SHEET:
        usable(action["key"])
        check_wraps(action["wraps"])
    elif kind == ADD_GUEST:
        if action["fleet"] == fleet:
            raise malformed("a fleet is its own guest")
        name(action["name"])


def open_link(data):
    refused(len(data) <= LINK_MAX, "too-large", "a link beyond the limit")
    cbor = Cbor(data)
    fields, version = cbor.array("a link"), cbor.number(255, "version")
    if version > 1:
        raise Refused("newer", f"a link of version {version}")
    if fields != 6 or version != 1:
        raise malformed("a link has six fields and version 1")
    link = {"fleet": cbor.bytes("fleet", 16), "number": cbor.number(U64, "number"), "prev": cbor.bytes("prev", 32)}
    link["at"] = cbor.number(U64, "at")
    fields, link["kind"] = cbor.array("an action"), cbor.number(255, "an action's number")
    if link["kind"] not in READ or READ[link["kind"]][0] != fields:
        raise malformed(f"action {link['kind']} with {fields} fields is unknown")
    link["action"] = READ[link["kind"]][1](cbor)
    cbor.end()
    check_action(link["kind"], link["action"], link["fleet"])
    link["digest"] = digest(LINK, data)
    return link


def read_signed(data):
    """A link with its signatures, which nobody has checked yet."""
    cbor = Cbor(data)
    cbor.array("a signed link", 2)
    signed = cbor.bytes("a link")
    link = open_link(signed)
    count = cbor.array("signatures")
    refused(1 <= count <= SIGNATURES_MAX, "signatures", f"{count} signatures")
    signatures = []
    for _ in range(count):
        cbor.array("a signature with its key", 2)
        signatures.append((cbor.bytes("a key", 32), cbor.bytes("a signature", 64)))
    cbor.end()
    refused(rising([key for key, _ in signatures]), "signatures", "the keys do not rise")
    return link, signed, signatures


def check_signed(signed, signatures):
    for key, signature in signatures:
        # A key that is no point cannot have signed; here that is no other reason.
        refused(is_point(key), "signature", "the key is no point of the curve")
        check(key, LINK, signed, signature)
    return [id_of(key) for key, _ in signatures]


def open_signed(data):
    _, signed, signatures = read_signed(data)
    check_signed(signed, signatures)


# A policy, of which anything but its one form says nothing.


def open_policy(data):
    residencies = {}
    try:
        cbor = Cbor(data)
        cbor.array("a policy", 2)
        if cbor.number(255, "version") != 1:
            raise malformed("another version")
        count = cbor.array("residencies")
        if count > RESIDENCIES_MAX:
            raise malformed(f"{count} residencies")
        for _ in range(count):
            cbor.array("a residency", 3)
            number, called = cbor.number(U16, "number"), cbor.text("name", NAME_MAX)
            if number < 2 or residencies and number <= max(residencies):
                raise malformed(f"number {number} is none, or does not rise")
            homes = [cbor.bytes("a home", 16) for _ in range(min(cbor.array("homes"), HOMES_MAX + 1))]
            if len(homes) > HOMES_MAX or not rising(homes) or (not homes) != (not called) or not is_plain(called):
                raise malformed("homes do not rise, or there is a name without homes, or the other way about")
            residencies[number] = (called, homes)
        cbor.end()
    except Refused as why:
        raise Refused("unknown", str(why)) from None
    return {number: it for number, it in residencies.items() if it[0]}


# A row of links, and what it says.


class Fleet:
    def __init__(self, data):
        link, signed, signatures = read_signed(data)
        first = link["kind"] == CREATE and (link["number"], link["prev"], link["fleet"]) == (0, bytes(32), bytes(16))
        refused(first, "not-the-first", "it does not begin a fleet")
        device = link["action"]["device"]
        refused(check_signed(signed, signatures) == [device["id"]], "not-the-first", "not signed by the device it names, alone")
        self.id, self.name, self.k = link["digest"][:16], link["action"]["name"], link["action"]["k"]
        self.digests, self.devices, self.revoked, self.relays = [link["digest"]], {device["id"]: dict(device)}, {}, {}
        self.epoch, self.policy_epoch, self.policy, self.sheet, self.guests = 0, 0, {}, None, {}

    def active(self, whom):
        return whom in self.devices and whom not in self.revoked

    def admins(self):
        return {whom for whom, device in self.devices.items() if device["admin"] and self.active(whom)}

    def needs(self, kind=None, action=None):
        """How many admins must sign: one alone may add what has no power, and take a relay or a guest out."""
        alone = kind in (POLICY, ADD_RELAY, REMOVE_RELAY, ADD_GUEST, REMOVE_GUEST) or kind == ADD_DEVICE and not action["device"]["admin"]
        return 1 if alone else min(self.k, len(self.admins()))

    def follow(self, data):
        link, signed, signatures = read_signed(data)
        kind, action = link["kind"], link["action"]
        refused(kind != CREATE and link["number"] > 0, "not-the-first", "a second beginning")
        refused(link["fleet"] == self.id, "other-fleet", "it names another fleet")
        refused(link["prev"] == self.digests[-1], "gap", "it is not behind the last one")
        refused(link["number"] == len(self.digests), "number", f"number {link['number']} at place {len(self.digests)}")
        refused(kind != RESOLVE or action["keeps"] in self.digests, "keeps-elsewhere", "what it keeps is not before it")
        signers = check_signed(signed, signatures)
        refused(all(who in self.admins() or who == self.sheet for who in signers), "not-an-admin", "a signer is no admin")
        self.check(kind, action)
        enough = self.sheet in signers or len(signers) >= self.needs(kind, action)
        refused(enough, "too-few", f"{len(signers)} of {self.needs(kind, action)} admins")
        self.apply(kind, action)
        self.digests.append(link["digest"])

    def check(self, kind, action):
        spare = lambda whom: refused(self.admins() != {whom}, "last-admin", "nobody could sign any more")
        active = lambda whom: refused(self.active(whom), "unknown-device", "no device of the fleet")
        known = lambda whom: whom in self.devices or whom in self.revoked or whom == self.sheet
        if kind == ADD_DEVICE:
            refused(not known(action["device"]["id"]), "known-device", "it is there, or was")
            refused(sum(map(self.active, self.devices)) < DEVICES_MAX, "too-many", "too many devices")
        elif kind == REVOKE and action["id"] != self.sheet:
            active(action["id"])
            spare(action["id"])
        elif kind == ROTATE:
            refused(action["epoch"] == self.epoch + 1, "epoch", f"epoch {action['epoch']} behind {self.epoch}")
            for whom, _ in action["wraps"]:
                if whom != self.sheet:
                    active(whom)
        elif kind == POLICY:
            refused(action["epoch"] == self.policy_epoch + 1, "epoch", f"policy {action['epoch']} behind {self.policy_epoch}")
        elif kind == ADD_RELAY:
            refused(action["key"] not in self.relays, "relay", "it is there")
            refused(len(self.relays) < RELAYS_MAX, "too-many", "too many relays")
        elif kind == REMOVE_RELAY:
            refused(action["key"] in self.relays, "relay", "it is not there")
        elif kind == ADD_GUEST:
            refused(action["fleet"] not in self.guests, "guest", "it is there")
            refused(len(self.guests) < GUESTS_MAX, "too-many", "too many guests")
        elif kind == REMOVE_GUEST:
            refused(action["fleet"] in self.guests, "guest", "it is not there")
        elif kind == ADD_ADMIN:
            active(action["id"])
            refused(self.devices[action["id"]]["expires"] is None, "cannot-be-admin", "it expires")
        elif kind == REMOVE_ADMIN:
            refused(action["id"] in self.admins(), "not-an-admin", "it is none")
            spare(action["id"])
        elif kind == ADD_SHEET:
            refused(self.sheet is None, "sheet", "there is one")
            refused(not known(id_of(action["key"])), "known-device", "it is there, or was")
            refused(not action["wraps"] or action["wraps"][-1][0] <= self.epoch, "epoch", "a key that is to come")

    def apply(self, kind, action):
        if kind == ADD_DEVICE:
            self.devices[action["device"]["id"]] = dict(action["device"])
        elif kind == REVOKE:
            self.revoked[action["id"]] = {incarnation: number for incarnation, number, _ in action["ends"]}
            self.sheet = None if action["id"] == self.sheet else self.sheet
        elif kind == ROTATE:
            self.epoch = action["epoch"]
        elif kind == POLICY:
            self.policy_epoch = action["epoch"]
            try:
                self.policy = open_policy(action["bytes"])
            except Refused:
                self.policy = {}
        elif kind == ADD_RELAY:
            self.relays[action["key"]] = action
        elif kind == REMOVE_RELAY:
            del self.relays[action["key"]]
        elif kind == ADD_GUEST:
            self.guests[action["fleet"]] = action["name"]
        elif kind == REMOVE_GUEST:
            del self.guests[action["fleet"]]
        elif kind in (ADD_ADMIN, REMOVE_ADMIN):
            self.devices[action["id"]]["admin"] = kind == ADD_ADMIN
        elif kind == SET_THRESHOLD:
            self.k = action["k"]
        elif kind == ADD_SHEET:
            self.sheet = id_of(action["key"])

    def says(self):
        return {
            "name": self.name,
            "members": sorted(whom.hex() for whom in self.devices if self.active(whom)),
            "admins": sorted(whom.hex() for whom in self.admins()),
            "needs": self.needs(),
            "epoch": self.epoch,
            "policy": self.policy_epoch,
            "residencies": [[number, called, [home.hex() for home in homes]] for number, (called, homes) in self.policy.items()],
            "relays": sorted(key.hex() for key in self.relays),
            "guests": sorted([fleet.hex(), called] for fleet, called in self.guests.items()),
            "sheet": self.sheet and self.sheet.hex(),
            "ends": {whom.hex(): [list(end) for end in ends.items()] for whom, ends in self.revoked.items()},
        }

    def counts(self, author, incarnation, number):
        """Whether a segment of this author's log counts."""
        whom = id_of(author)
        if whom not in self.revoked:
            return whom in self.devices
        return whom in self.devices and number <= self.revoked[whom].get(incarnation, -1)


def open_chain(links):
    fleet = Fleet(links[0])
    for link in links[1:]:
        fleet.follow(link)
    return fleet


# Wrapped keys: HPKE (RFC 9180), base mode, X25519, HKDF-SHA-256, ChaCha20-Poly1305.

KEM, SUITE = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"


def expand(key, info, length=32):
    # RFC 5869 section 2.3; one block is enough for all that is asked here.
    return hmac.digest(key, info + b"\1", "sha256")[:length]


def labeled_extract(suite, salt, label, secret):
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + secret, "sha256")


def labeled_expand(suite, key, label, info, length):
    return expand(key, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)


def wrap_secret(seed):
    """The X25519 key of whoever has this seed (RFC 9180 section 7.1.3)."""
    material = expand(hmac.digest(bytes(32), seed, "sha256"), b"hearth/x25519/1")
    key = labeled_extract(KEM, b"", b"dkp_prk", material)
    return X25519PrivateKey.from_private_bytes(labeled_expand(KEM, key, b"sk", b"", 32))


def raw(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def unwrap(seed, fleet, epoch, wrapped):
    secret, encapsulated = wrap_secret(seed), wrapped[:32]
    whom = id_of(raw(Ed25519PrivateKey.from_private_bytes(seed)))
    info = b"hearth/epoch-wrap/1" + fleet + struct.pack(">I", epoch) + whom
    shared = labeled_extract(KEM, b"", b"eae_prk", secret.exchange(X25519PublicKey.from_public_bytes(encapsulated)))
    shared = labeled_expand(KEM, shared, b"shared_secret", encapsulated + raw(secret), 32)
    context = b"\0" + labeled_extract(SUITE, b"", b"psk_id_hash", b"") + labeled_extract(SUITE, b"", b"info_hash", info)
    secret = labeled_extract(SUITE, shared, b"secret", b"")
    key, nonce = (labeled_expand(SUITE, secret, label, context, n) for label, n in ((b"key", 32), (b"base_nonce", 12)))
    return ChaCha20Poly1305(key).decrypt(nonce, wrapped[32:], b"")


def opens(*wrap):
    try:
        return unwrap(*wrap)
    except InvalidTag:
        return None


# The vectors.


def check_people(vectors, report):
    for person in vectors["people"]:
        seed = bytes.fromhex(person["seed"])
        key = raw(Ed25519PrivateKey.from_private_bytes(seed))
        derived = (key.hex(), raw(wrap_secret(seed)).hex(), id_of(key).hex())
        holds = derived == (person["public"], person["wrap"], person["id"])
        report.row(holds, f"both keys of the {person['name']}, and its id, follow from its seed")


def check_story(vectors, report):
    story = next(case for case in vectors["cases"] if case["name"] == "everything once")
    fleet = open_chain([bytes.fromhex(link) for link in story["bytes"]])
    report.row([link.hex() for link in fleet.digests] == vectors["links"], "the digests of the links")
    report.row(fleet.id.hex() == vectors["fleet"], "the fleet's id is the first half of the first")
    for label, what in (("space", "space"), ("tag", "name in greetings")):
        derived = sha256(f"hearth/fleet-{label}/1".encode() + fleet.id).digest()[:16]
        report.row(derived.hex() == vectors[label], f"the fleet's {what} follows from its id")
    said = fleet.says()
    for what, expected in vectors["says"].items():
        report.row(said[what] == expected, f"the story says of its {what}: {expected}")
    for author, incarnation, number, counts in vectors["counts"]:
        holds = fleet.counts(bytes.fromhex(author), incarnation, number) == counts
        report.row(holds, f"segment {number} of log {incarnation:x} of {author[:8]} {'counts' if counts else 'does not count'}")
    for wrap in vectors["wraps"]:
        seed, wrapped = bytes.fromhex(wrap["seed"]), bytes.fromhex(wrap["wrapped"])
        key = opens(seed, fleet.id, wrap["epoch"], wrapped)
        holds = key is not None and key.hex() == wrap["key"]
        holds = holds and opens(seed, fleet.id, wrap["epoch"] + 1, wrapped) is None
        holds = holds and opens(seed, bytes(16), wrap["epoch"], wrapped) is None
        report.row(holds, f"the key of epoch {wrap['epoch']} opens for whom it was wrapped, and as nothing else")


def check_all(vectors, report, judge):
    check_people(vectors, report)
    check_story(vectors, report)
    readers = {"link": open_signed, "policy": open_policy}
    for case in vectors["cases"]:
        given = case["bytes"]
        if case["as"] == "chain":
            opened = lambda: open_chain([bytes.fromhex(link) for link in given])
        else:
            opened = lambda: readers[case["as"]](bytes.fromhex(given))
        verdict, why = judge(opened)
        said = "accepted" if verdict == "good" else f"refused as {verdict}"
        report.row(verdict == case["verdict"], f"{case['as']}, {case['name']}: {said}: {why}")
    for name, opened, expected in (("link", open_signed, "malformed"), ("policy", open_policy, "unknown")):
        good = max((bytes.fromhex(case["bytes"]) for case in vectors["cases"] if case["as"] == name and case["verdict"] == "good"), key=len)
        verdicts = {judge(lambda: opened(good[:cut]))[0] for cut in range(len(good))}
        report.row(verdicts == {expected}, f"{len(good)} cuts of a {name} are refused")
