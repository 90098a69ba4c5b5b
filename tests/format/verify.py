#!/usr/bin/env python3
"""A second reader of hearth's log and of a fleet's chain, written from docs/federation-format.md and sharing no code with the first.

Reads the golden vectors, checks what should verify, refuses what should be refused, and says why. From outside the standard library
it takes only ed25519, X25519 and ChaCha20-Poly1305 (from `cryptography`); CBOR, the Merkle tree, HPKE and HChaCha20 are here.
`basis.py` is what all of it stands on, `fleet.py` the chain.
"""

import json
import struct
import sys
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import fleet
from basis import U16, U32, U64, Cbor, Refused, check, digest, malformed

BODY_MAX, SEGMENT_MAX, CHANGES_MAX = 8 << 20, (8 << 20) + (1 << 20), 1024
RECEIPT_MAX, PROOF_MAX, PATH_MAX = 3072, 1024, 64


# The Merkle tree of RFC 6962, and the checks of RFC 9162 sections 2.1.3.2 and 2.1.4.2.


def leaf(data):
    return sha256(b"\0" + data).digest()


def node(left, right):
    return sha256(b"\1" + left + right).digest()


def root(leaves):
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return node(root(leaves[:split]), root(leaves[split:]))


def includes(top, size, index, hashed, path):
    if index >= size:
        return False
    at, last = index, size - 1
    for sibling in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            hashed = node(sibling, hashed)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            hashed = node(hashed, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and hashed == top


def extends(old, old_root, new, new_root, path):
    if old == 0:
        return not path and old_root == root([]) and (new > 0 or new_root == old_root)
    if old >= new:
        return old == new and not path and old_root == new_root
    path = list(path)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    was = grown = path[0]
    for hashed in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            was, grown = node(hashed, was), node(hashed, grown)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            grown = node(grown, hashed)
        at, last = at >> 1, last >> 1
    return last == 0 and was == old_root and grown == new_root


# Changes, heads, segments, logs.

KINDS = range(1, 10)
TOMBSTONE = 3


def open_delta(data):
    cbor = Cbor(data)
    if cbor.array("a change") != 6:
        raise malformed("a change has six fields")
    version = cbor.number(255, "version")
    change = {"seq": cbor.number(U64, "seq"), "kind": cbor.number(255, "kind")}
    if change["kind"] not in KINDS:
        raise malformed(f"kind {change['kind']} is unknown")
    change["document"] = cbor.bytes("document", 16)
    change["epoch"] = cbor.number(U32, "epoch")
    change["body"] = cbor.bytes("body")
    cbor.end()
    if version > 1:
        raise Refused("newer", f"a change of version {version}")
    if version != 1 or len(change["body"]) > BODY_MAX:
        raise malformed("version 0, or a body beyond the limit")
    if (change["kind"] == TOMBSTONE) != (not change["body"]):
        raise malformed("a tombstone, and nothing else, has an empty body")
    if change["kind"] == TOMBSTONE and change["epoch"] != 0:
        raise malformed("a tombstone has epoch 0")
    return change


HEAD = "hearth/seg/1"


def open_head(data):
    cbor = Cbor(data)
    fields, version = cbor.array("a head"), cbor.number(255, "version")
    if version > 1:
        raise Refused("newer", f"a head of version {version}")
    if fields != 12 or version != 1:
        raise malformed("a head has twelve fields and version 1")
    head = {"fleet": cbor.bytes("fleet", 16), "author": cbor.bytes("author", 32)}
    for name in ("incarnation", "number", "first_seq"):
        head[name] = cbor.number(U64, name)
    head["count"] = cbor.number(U16, "count")
    head["prev"], head["root"] = cbor.bytes("prev", 32), cbor.bytes("root", 32)
    head["policy_epoch"] = cbor.number(U32, "policy_epoch")
    head["residency"] = cbor.number(U16, "residency")
    head["closed_at"] = cbor.number(U64, "closed_at")
    cbor.end()
    head["digest"] = digest(HEAD, data)
    return head


def open_segment(data):
    if len(data) > SEGMENT_MAX:
        raise malformed("beyond the limit")
    cbor = Cbor(data)
    if cbor.array("a segment") != 3:
        raise malformed("a segment has three fields")
    signed, signature = cbor.bytes("head"), cbor.bytes("signature", 64)
    count = cbor.array("changes")
    if not 1 <= count <= CHANGES_MAX:
        raise malformed(f"{count} changes")
    changes, hashes = [], []
    for _ in range(count):
        if cbor.peek() == Cbor.ARRAY:
            if cbor.array("a pruned change") != 1:
                raise malformed("a pruned change has one field")
            changes.append(None)
            hashes.append(cbor.bytes("a pruned change's hash", 32))
        else:
            changes.append(cbor.bytes("a change"))
            hashes.append(leaf(changes[-1]))
    cbor.end()
    head = open_head(signed)
    if head["count"] != count:
        raise malformed(f"the head counts {head['count']} changes, and there are {count}")
    if root(hashes) != head["root"]:
        raise Refused("other-root", "the changes are not those that the head commits to")
    for seq, data in enumerate(changes, head["first_seq"]):
        if data is not None and open_delta(data)["seq"] != seq:
            raise malformed(f"the change at {seq} has another number")
    check(head["author"], HEAD, signed, signature)
    head["changes"] = [data and open_delta(data) for data in changes]
    return head


def open_log(segments, author, incarnation):
    number, seq, prev = 0, 0, bytes(32)
    for head in map(open_segment, segments):
        place = (head["author"], head["incarnation"], head["number"], head["first_seq"], head["prev"])
        if place != (author, incarnation, number, seq, prev):
            raise Refused("gap", f"segment {head['number']} does not continue the log at {number}")
        number, seq, prev = number + 1, seq + head["count"], head["digest"]


RECEIPT = "hearth/receipt/1"


def open_receipt(data):
    if len(data) > RECEIPT_MAX:
        raise malformed("beyond the limit")
    cbor = Cbor(data)
    if cbor.array("a receipt") != 2:
        raise malformed("a receipt has two fields")
    signed, signature = cbor.bytes("what is signed"), cbor.bytes("signature", 64)
    cbor.end()
    cbor = Cbor(signed)
    fields, version = cbor.array("a receipt"), cbor.number(255, "version")
    if version > 1:
        raise Refused("newer", f"a receipt of version {version}")
    if fields != 12 or version != 1:
        raise malformed("a receipt has twelve fields and version 1")
    store, _fleet, _author = cbor.bytes("store", 32), cbor.bytes("fleet", 16), cbor.bytes("author", 32)
    cbor.number(U64, "incarnation"), cbor.number(U64, "number")
    head, size, top = cbor.bytes("head", 32), cbor.number(U64, "size"), cbor.bytes("root", 32)
    index, count = cbor.number(U64, "index"), cbor.array("path")
    if count > PATH_MAX:
        raise malformed(f"a path of {count} hashes")
    path = [cbor.bytes("a hash of the path", 32) for _ in range(count)]
    cbor.number(U64, "at")
    cbor.end()
    if not includes(top, size, index, leaf(head), path):
        raise Refused("not-in-tree", "the path does not lead from the head to the root")
    check(store, RECEIPT, signed, signature)


def open_proof(data):
    if len(data) > PROOF_MAX:
        raise malformed("beyond the limit")
    cbor = Cbor(data)
    fields, version = cbor.array("a proof"), cbor.number(255, "version")
    if version > 1:
        raise Refused("newer", f"a proof of version {version}")
    if fields != 5 or version != 1:
        raise malformed("a proof has five fields and version 1")
    pairs = [(cbor.bytes("head"), cbor.bytes("signature", 64)) for _ in range(2)]
    cbor.end()
    heads = []
    for signed, signature in pairs:
        try:
            heads.append(open_head(signed))
        except Refused as why:
            raise Refused("newer-head", str(why)) if why.verdict == "newer" else why
        check(heads[-1]["author"], HEAD, signed, signature)
    one, other = heads
    if any(one[name] != other[name] for name in ("author", "incarnation", "number")) or one["digest"] == other["digest"]:
        raise Refused("no-contradiction", "the heads stand at two places, or are one")
    if one["digest"] > other["digest"]:
        raise malformed("the lesser digest comes first")


# Sealed bodies: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) under a nonce that follows from the place in the log.


def hchacha20(key, nonce):
    state = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I4I", key + nonce)]

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & U32
            mixed = state[z] ^ state[x]
            state[z] = (mixed << turn | mixed >> (32 - turn)) & U32

    for _ in range(10):
        for n in range(4):
            quarter(n, 4 + n, 8 + n, 12 + n)
        for n in range(4):
            quarter(n, 4 + (n + 1) % 4, 8 + (n + 2) % 4, 12 + (n + 3) % 4)
    return struct.pack("<8I", *state[:4], *state[12:])


def unseal(key, place, label, sealed):
    nonce = sha256(b"hearth/nonce/1" + place).digest()[:24]
    subkey = hchacha20(key, nonce[:16])
    return ChaCha20Poly1305(subkey).decrypt(bytes(4) + nonce[16:], sealed, label)


class Report:
    """Counts, in the words of a TAP reporter."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def row(self, holds, text):
        self.passed += bool(holds)
        self.failed += not holds
        print(f"{'ok' if holds else 'NOT OK'} - {text}")


def judge(opened):
    try:
        opened()
        return "good", "it verifies"
    except Refused as why:
        return why.verdict, str(why)


def check_bodies(vectors, report):
    device = sha256(b"hearth/device/1" + bytes.fromhex(vectors["author"]["public"])).digest()[:16]
    report.row(device.hex() == vectors["author"]["device"], "the device's id follows from its key")
    logged = {}
    for case in vectors["cases"]:
        if case["as"] == "log" and case["verdict"] == "good":
            for head in map(open_segment, map(bytes.fromhex, case["bytes"])):
                logged.update((change["seq"], change) for change in head["changes"])
    for body in vectors["bodies"]:
        document, key, sealed = (bytes.fromhex(body[name]) for name in ("document", "key", "sealed"))
        place = device + struct.pack(">QQI", vectors["incarnation"], body["seq"], body["part"])
        label = bytes.fromhex(vectors["space"]) + document + bytes([body["kind"]])
        change = logged.get(body["seq"], {})
        same = (change.get("document"), change.get("kind"), change.get("epoch"), change.get("body"))
        holds = same == (document, body["kind"], body["epoch"], sealed)
        holds = holds and unseal(key, place, label, sealed).hex() == body["plain"]
        try:
            unseal(key, place, label[:-1] + b"\x63", sealed)
            holds = False
        except InvalidTag:
            pass
        report.row(holds, f"body {body['seq']} stands in the log and opens as itself, and as no other kind")


def check_trees(vectors, report):
    leaves = [leaf(bytes([n]) * n) for n in range(9)]
    for tree in vectors["trees"]:
        size, top = tree["size"], bytes.fromhex(tree["root"])
        hashes = lambda path: [bytes.fromhex(text) for text in path]
        holds = root(leaves[:size]) == top
        for index, path in enumerate(tree["inclusion"]):
            holds &= all(includes(top, size, n, leaves[index], hashes(path)) == (n == index) for n in range(size + 1))
        for old, path in enumerate(tree["consistency"], 1):
            holds &= extends(old, root(leaves[:old]), size, top, hashes(path))
            holds &= not extends(old, leaf(b"no"), size, top, hashes(path))
        report.row(holds, f"the tree of {size}: its root, {size} places in it, {size} beginnings of it")
    grown = vectors["grown"]
    roots = [bytes.fromhex(grown[name]) for name in ("old_root", "new_root")]
    path = [bytes.fromhex(text) for text in grown["path"]]
    report.row(extends(grown["old"], roots[0], grown["new"], roots[1], path), "the store's tree only grew")


def check_cases(vectors, report):
    author = bytes.fromhex(vectors["author"]["public"])
    readers = {"delta": open_delta, "segment": open_segment, "receipt": open_receipt, "proof": open_proof}
    for case in vectors["cases"]:
        given = case["bytes"]
        if case["as"] == "log":
            opened = lambda: open_log([bytes.fromhex(text) for text in given], author, vectors["incarnation"])
        else:
            opened = lambda: readers[case["as"]](bytes.fromhex(given))
        verdict, why = judge(opened)
        said = "accepted" if verdict == "good" else f"refused as {verdict}"
        report.row(verdict == case["verdict"], f"{case['as']}, {case['name']}: {said}: {why}")


def check_cuts(vectors, report):
    """No part of anything good is good."""
    for name, opened in (("segment", open_segment), ("receipt", open_receipt), ("proof", open_proof), ("delta", open_delta)):
        good = next(bytes.fromhex(case["bytes"]) for case in vectors["cases"] if case["as"] == name and case["verdict"] == "good")
        verdicts = {judge(lambda: opened(good[:cut]))[0] for cut in range(len(good))}
        report.row(verdicts == {"malformed"}, f"{len(good)} cuts of a {name} are refused")


def main():
    default = Path(__file__).parent.parent / "data/federation/vectors.json"
    vectors = json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else default).read_text())
    report = Report()
    for who in ("author", "store"):
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vectors[who]["seed"])).public_key()
        report.row(key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex() == vectors[who]["public"], f"the {who}'s key")
    # The example of draft-irtf-cfrg-xchacha section 2.2.1.
    subkey = hchacha20(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927"))
    report.row(subkey.hex() == "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc", "HChaCha20 by its draft")
    heads = [head["digest"].hex() for case in vectors["cases"] if case["as"] == "log" and case["verdict"] == "good"
             for head in map(open_segment, map(bytes.fromhex, case["bytes"]))]
    report.row(heads == vectors["heads"], "the digests of the heads")
    for part in (check_bodies, check_trees, check_cases, check_cuts):
        part(vectors, report)
    fleet.check_all(json.loads((default.parent / "vectors-fleet.json").read_text()), report, judge)
    print(f"# pass {report.passed}\n# fail {report.failed}")
    return 1 if report.failed or report.passed < 250 else 0


if __name__ == "__main__":
    sys.exit(main())
