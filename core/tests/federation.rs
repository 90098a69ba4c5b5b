//! The golden vectors of the log's format, in `tests/data/federation/`, which a second reader in another language also verifies.
//!
//! They follow from the keys below. `HEARTH_WRITE_VECTORS=1` writes them; otherwise what is committed must be what the code gives, and
//! must be judged as it says. `docs/federation-format.md` says what the bytes mean.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey};
use hearth_core::{
    DeviceId, DocumentId, Moment, SpaceId,
    crdt::{Documents, Dot, Map, Seen, Set, Stability, Write},
    delta::{BadDelta, Delta, Kind, Logged, SealedChange, Tombstone},
    equivocation::{NoProof, Proof},
    hlc::Stamp,
    merkle::{Hash, consistency, inclusion, leaf, root},
    receipt::{self, BadReceipt, Claim, Receipt},
    seal::{DocumentKey, Label, Place, Plain, Sealed},
    segment::{BadSegment, Chain, Draft, Segment},
    signed::{Signable, Signed, Verified},
};
use serde_json::{Value, json};

const FLEET: [u8; 16] = [0xf1; 16];
const SPACE: SpaceId = SpaceId::from_bytes([0x5a; 16]);
const INCARNATION: u64 = 0x0001_a1fb_0b31_48ff;
const CLOSED: u64 = 1_780_000_000_000;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/federation")
}

fn author() -> SigningKey {
    SigningKey::from_bytes(&[0xa1; 32])
}

fn store() -> SigningKey {
    SigningKey::from_bytes(&[0x57; 32])
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().expect("a text").as_bytes()).expect("hexadecimal digits")
}

struct Words<'a>(&'a [u8]);

impl Plain for Words<'_> {
    fn plain(&self) -> &[u8] {
        self.0
    }
}

/// What is written, and the bodies in it as a reader with their keys sees them.
struct World {
    chain: Chain,
    bodies: Vec<Value>,
}

impl World {
    fn new() -> Self {
        Self { chain: Chain::begin(author().verifying_key().to_bytes(), INCARNATION), bodies: Vec::new() }
    }

    fn write(&mut self, draft: &mut Draft, kind: Kind, document: u8, epoch: u32, plain: &[u8]) {
        let id = DocumentId::from_bytes([document; 16]);
        let key = [document ^ 0xff; 32];
        let place = Place {
            author: DeviceId::of_key(&author().verifying_key()),
            incarnation: INCARNATION,
            seq: draft.next_seq(),
            part: 0,
        };
        let label = Label { space: SPACE, document: id, kind };
        let body = DocumentKey::from_entropy(key).seal(place, label, &Words(plain));
        self.bodies.push(json!({
            "seq": place.seq, "part": place.part, "kind": kind as u8, "document": hex(id.as_bytes()), "epoch": epoch,
            "key": hex(&key), "plain": hex(plain), "sealed": hex(body.as_bytes()),
        }));
        draft.push(SealedChange { kind, document: id, epoch, body });
    }

    fn close(&mut self, draft: Draft) -> Segment {
        let segment = draft.close(&author(), FLEET, Moment::from_millis(CLOSED + self.chain.number * 200));
        self.chain.follow(&segment).expect("it was begun after this chain");
        segment
    }

    fn draft(&self) -> Draft {
        Draft::after(self.chain.clone())
    }
}

fn log() -> (World, Vec<Segment>) {
    let mut world = World::new();
    let mut segments = Vec::new();

    let mut draft = world.draft();
    world.write(&mut draft, Kind::Document, 1, 0, b"buy milk");
    world.write(&mut draft, Kind::Embedding, 1, 0, &[0x7f, 0x80, 0x00]);
    world.write(&mut draft, Kind::Session, 2, 0, "opened at caf\u{e9}".as_bytes());
    segments.push(world.close(draft));

    // Numbers of every width that they can have so early, and a body longer than a block of the cipher.
    let mut draft = world.draft();
    for n in 0..30_u8 {
        let long = vec![b'a' + n % 26; usize::from(n) * 11];
        world.write(&mut draft, Kind::Document, 0x10 + n, u32::from(n) * 9_000, &long);
    }
    world.write(&mut draft, Kind::Rename, 0x10, u32::MAX, b"another name");
    segments.push(world.close(draft));

    let mut draft = world.draft();
    draft.push(Tombstone { document: DocumentId::from_bytes([1; 16]) });
    segments.push(world.close(draft));

    let mut draft = world.draft();
    for (kind, n) in [(Kind::Key, 4), (Kind::Policy, 5), (Kind::Label, 6), (Kind::Metric, 7)] {
        world.write(&mut draft, kind, 0x40 + n, 2, format!("of kind {n}").as_bytes());
    }
    segments.push(world.close(draft));
    (world, segments)
}

/// The head's bytes, the signature and the encoded changes, to be put together wrongly.
fn parts(segment: &Segment) -> (Vec<u8>, [u8; 64], Vec<Vec<u8>>) {
    let bytes = segment.encode();
    let mut d = minicbor::Decoder::new(&bytes);
    d.array().expect("as written");
    let head = d.bytes().expect("as written").to_vec();
    d.bytes().expect("as written");
    let count = d.array().expect("as written").expect("as written");
    let leaves = (0..count).map(|_| {
        let from = d.position();
        d.skip().expect("as written");
        bytes[from..d.position()].to_vec()
    });
    (head, segment.verified_head().signature(), leaves.collect())
}

fn put_together(head: &[u8], signature: &[u8], leaves: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut e = minicbor::Encoder::new(&mut out);
    e.array(3).and_then(|e| e.bytes(head)).and_then(|e| e.bytes(signature)).expect("memory");
    e.array(leaves.len() as u64).expect("memory");
    for leaf in leaves {
        e.writer_mut().extend(leaf);
    }
    out
}

/// Signs head bytes that no program of ours would write.
fn sign(context: &str, bytes: &[u8]) -> Vec<u8> {
    struct Any<'a>(&'a [u8], String);
    let any = Any(bytes, context.to_owned());
    let digest: Hash = sha2::Digest::finalize(
        [any.1.as_bytes(), &[0], any.0].iter().fold(<sha2::Sha256 as sha2::Digest>::new(), sha2::Digest::chain_update),
    )
    .into();
    author().sign(&digest).to_bytes().to_vec()
}

fn verdict_of_segment(bytes: &[u8]) -> &'static str {
    match Segment::open(bytes) {
        Ok(_) => "good",
        Err(why) => segment_reason(why),
    }
}

fn segment_reason(why: BadSegment) -> &'static str {
    match why {
        BadSegment::Malformed => "malformed",
        BadSegment::Newer(_) => "newer",
        BadSegment::OtherRoot => "other-root",
        BadSegment::Signature(_) => "signature",
        BadSegment::Gap => "gap",
    }
}

fn verdict_of_log(segments: &Value) -> &'static str {
    let mut chain = World::new().chain;
    for segment in segments.as_array().expect("a list") {
        if let Err(why) = Segment::open(&bytes(segment)).and_then(|segment| chain.follow(&segment)) {
            return segment_reason(why);
        }
    }
    "good"
}

fn verdict_of_delta(bytes: &[u8]) -> &'static str {
    match Logged::decode(bytes) {
        Ok(_) => "good",
        Err(BadDelta::Malformed) => "malformed",
        Err(BadDelta::Newer(_)) => "newer",
    }
}

fn verdict_of_receipt(bytes: &[u8]) -> &'static str {
    match Receipt::open(bytes) {
        Ok(_) => "good",
        Err(BadReceipt::Malformed) => "malformed",
        Err(BadReceipt::Newer(_)) => "newer",
        Err(BadReceipt::NotInTree) => "not-in-tree",
        Err(BadReceipt::Signature(_)) => "signature",
    }
}

fn verdict_of_proof(bytes: &[u8]) -> &'static str {
    match Proof::open(bytes) {
        Ok(_) => "good",
        Err(NoProof::Malformed) => "malformed",
        Err(NoProof::Newer(_)) => "newer",
        Err(NoProof::NewerHead) => "newer-head",
        Err(NoProof::Signature(_)) => "signature",
        Err(NoProof::NoContradiction) => "no-contradiction",
    }
}

fn verdict(case: &Value) -> &'static str {
    let given = &case["bytes"];
    match case["as"].as_str().expect("a text") {
        "delta" => verdict_of_delta(&bytes(given)),
        "segment" => verdict_of_segment(&bytes(given)),
        "log" => verdict_of_log(given),
        "receipt" => verdict_of_receipt(&bytes(given)),
        "proof" => verdict_of_proof(&bytes(given)),
        other => panic!("nothing reads `{other}`"),
    }
}

fn case(name: &str, read_as: &str, given: impl Into<Value>, expected: &str) -> Value {
    let given: Value = given.into();
    let case = json!({ "name": name, "as": read_as, "bytes": given, "verdict": expected });
    assert_eq!(verdict(&case), expected, "{read_as}: {name}");
    case
}

fn delta_cases(segments: &[Segment]) -> Vec<Value> {
    let (_, _, leaves) = parts(&segments[0]);
    // Behind the byte string's own header of two bytes.
    let good = &leaves[0][2..];
    let tombstone = &parts(&segments[2]).2[0][2..];
    let changed = |from: &[u8], range: std::ops::Range<usize>, to: &[u8]| {
        let mut bytes = from.to_vec();
        bytes.splice(range, to.iter().copied());
        Value::from(hex(&bytes))
    };
    let end = good.len();
    vec![
        case("a change", "delta", hex(good), "good"),
        case("a tombstone", "delta", hex(tombstone), "good"),
        case("nothing", "delta", "", "malformed"),
        case("a byte too many", "delta", changed(good, end..end, &[0]), "malformed"),
        case("a byte too few", "delta", changed(good, end - 1..end, &[]), "malformed"),
        case("a newer version", "delta", changed(good, 1..2, &[2]), "newer"),
        case("version 0", "delta", changed(good, 1..2, &[0]), "malformed"),
        case("a number in a longer form", "delta", changed(good, 2..3, &[0x18, 0]), "malformed"),
        case("an unknown kind", "delta", changed(good, 3..4, &[10]), "malformed"),
        case("kind 0", "delta", changed(good, 3..4, &[0]), "malformed"),
        case(
            "an array without an end",
            "delta",
            changed(&[&[0x9f], &good[1..], &[0xff]].concat(), 0..0, &[]),
            "malformed",
        ),
        case("a negative number", "delta", changed(good, 2..3, &[0x20]), "malformed"),
        case("a document that is a text", "delta", changed(good, 4..5, &[0x70]), "malformed"),
        case("a document of 15 bytes", "delta", changed(good, 4..6, &[0x4f]), "malformed"),
        case("a tombstone with a body", "delta", changed(good, 3..4, &[3]), "malformed"),
        case("a tombstone with an epoch", "delta", changed(tombstone, 22..23, &[1]), "malformed"),
        case("a document without a body", "delta", changed(tombstone, 4..5, &[1]), "malformed"),
        case("an epoch beyond 32 bits", "delta", changed(good, 21..22, &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0]), "malformed"),
    ]
}

fn segment_cases(segments: &[Segment]) -> Vec<Value> {
    let first = &segments[0];
    let (head, signature, leaves) = parts(first);
    let together =
        |head: &[u8], signature: &[u8], leaves: &[Vec<u8>]| Value::from(hex(&put_together(head, signature, leaves)));
    let mut pruned = segments[1].clone();
    assert!(pruned.prune(|change| change.document.as_bytes()[0] % 3 == 0), "something is pruned");
    let mut all_pruned = first.clone();
    assert!(all_pruned.prune(|_| true), "everything is pruned");

    let flip = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let mut turned = leaves.clone();
    turned.swap(0, 1);
    let foreign = SigningKey::from_bytes(&[0xbb; 32]).sign(&first.digest()).to_bytes();
    let newer = [&[0x8c, 2], &head[2..]].concat();
    let wide = [&[0x8c, 0x18, 1], &head[2..]].concat();
    let [good, cut] = [first.encode(), first.encode()[..first.encode().len() - 1].to_vec()];
    // S + L, the other encoding of the same number: what a strict reader refuses and a careless one takes.
    let mut malleable = signature;
    let order = HEXLOWER.decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").expect("digits");
    let mut carry = 0_u16;
    for (byte, add) in malleable[32..].iter_mut().zip(&order) {
        carry += u16::from(*byte) + u16::from(*add);
        [*byte, _] = carry.to_le_bytes();
        carry >>= 8;
    }
    // The neutral element as key and as R, S = 0: holds for every message unless keys of small order are refused.
    let mut weak_key = [0; 32];
    weak_key[0] = 1;
    let weak_head = {
        let at = head
            .windows(32)
            .position(|window| window == author().verifying_key().as_bytes())
            .expect("it names its author");
        let mut bytes = head.clone();
        bytes[at..at + 32].copy_from_slice(&weak_key);
        bytes
    };
    let no_point = {
        let mut bytes = weak_head.clone();
        let at = bytes.windows(32).position(|window| window == weak_key).expect("it was put there");
        bytes[at] = 2;
        bytes
    };
    let weak_signature = [weak_key, [0; 32]].concat();
    vec![
        case("a segment", "segment", hex(&good), "good"),
        case("31 changes", "segment", hex(&segments[1].encode()), "good"),
        case("the same, ten pruned", "segment", hex(&pruned.encode()), "good"),
        case("every change pruned", "segment", hex(&all_pruned.encode()), "good"),
        case("a tombstone alone", "segment", hex(&segments[2].encode()), "good"),
        case("a cut segment", "segment", hex(&cut), "malformed"),
        case("a byte behind it", "segment", hex(&[&good[..], &[0]].concat()), "malformed"),
        case("its array in a longer form", "segment", hex(&[&[0x98, 3], &good[1..]].concat()), "malformed"),
        case(
            "its head's length in a longer form",
            "segment",
            hex(&[&[0x83, 0x59, 0], &good[2..]].concat()),
            "malformed",
        ),
        case("no change", "segment", together(&head, &signature, &[]), "malformed"),
        case("a change too few", "segment", together(&head, &signature, &leaves[..2]), "malformed"),
        case("two changes turned about", "segment", together(&head, &signature, &turned), "other-root"),
        case(
            "a changed body",
            "segment",
            together(&head, &signature, &[leaves[0].clone(), flip(&leaves[1], 30), leaves[2].clone()]),
            "other-root",
        ),
        case("a forged signature", "segment", together(&head, &flip(&signature, 5), &leaves), "signature"),
        case("signed by another key", "segment", together(&head, &foreign, &leaves), "signature"),
        case(
            "signed under another context",
            "segment",
            together(&head, &sign("hearth/receipt/1", &head), &leaves),
            "signature",
        ),
        case("a signature's other encoding", "segment", together(&head, &malleable, &leaves), "signature"),
        case("a key that is none", "segment", together(&no_point, &signature, &leaves), "malformed"),
        case("a key of small order", "segment", together(&weak_head, &weak_signature, &leaves), "signature"),
        case("another fleet, not signed", "segment", together(&flip(&head, 3), &signature, &leaves), "signature"),
        case("a newer head", "segment", together(&newer, &sign("hearth/seg/1", &newer), &leaves), "newer"),
        case(
            "a head in a longer form, signed",
            "segment",
            together(&wide, &sign("hearth/seg/1", &wide), &leaves),
            "malformed",
        ),
    ]
}

fn log_cases(segments: &[Segment]) -> Vec<Value> {
    let list = |of: &[usize]| of.iter().map(|n| Value::from(hex(&segments[*n].encode()))).collect::<Value>();
    // A second story for place 1, by the same key.
    let mut world = World::new();
    world.chain.follow(&segments[0]).expect("the first");
    let mut draft = world.draft();
    world.write(&mut draft, Kind::Document, 9, 0, b"another story");
    let other = Value::from(hex(&world.close(draft).encode()));
    let forked = vec![list(&[0])[0].clone(), other, list(&[2])[0].clone()];
    vec![
        case("in order", "log", list(&[0, 1, 2, 3]), "good"),
        case("the first is missing", "log", list(&[1, 2, 3]), "gap"),
        case("one between is missing", "log", list(&[0, 2]), "gap"),
        case("one twice", "log", list(&[0, 1, 1]), "gap"),
        case("continues another story", "log", forked, "gap"),
    ]
}

fn heads_tree(segments: &[Segment]) -> Vec<Hash> {
    (0..3_u8).map(|n| leaf(&[n; 32])).chain(segments.iter().map(|segment| leaf(&segment.digest()))).collect()
}

fn claim(segments: &[Segment], of: usize, size: usize) -> Claim {
    let (leaves, head) = (&heads_tree(segments)[..size], segments[of].head());
    Claim {
        store: store().verifying_key().to_bytes(),
        fleet: head.fleet,
        author: head.author,
        incarnation: head.incarnation,
        number: head.number,
        head: head.digest(),
        size: size as u64,
        root: root(leaves),
        index: of as u64 + 3,
        path: inclusion(leaves, of + 3).expect("it is in the tree"),
        at: Moment::from_millis(CLOSED + 5_000),
    }
}

fn signed(claim: Claim) -> Verified<Receipt> {
    Receipt::sign(&store(), claim).expect("it is in the tree")
}

fn receipt_cases(segments: &[Segment]) -> Vec<Value> {
    let good = receipt::encode(&signed(claim(segments, 1, 7)));
    let alone = receipt::encode(&signed(claim(segments, 0, 4)));
    let inner = signed(claim(segments, 1, 7)).get().signed_bytes().to_vec();
    let by_store = |inner: &[u8]| {
        struct Raw(Vec<u8>);
        impl Signable for Raw {
            const CONTEXT: &'static str = "hearth/receipt/1";
            fn signed_bytes(&self) -> &[u8] {
                &self.0
            }
        }
        let signature = Signed::by(&store(), Raw(inner.to_vec())).signature();
        let mut out = Vec::new();
        let mut e = minicbor::Encoder::new(&mut out);
        e.array(2).and_then(|e| e.bytes(inner)).and_then(|e| e.bytes(&signature)).expect("memory");
        Value::from(hex(&out))
    };
    let with = |at: usize, to: &[u8]| {
        let mut bytes = inner.clone();
        bytes.splice(at..=at, to.iter().copied());
        bytes
    };
    // The index stands behind the root; the root is the last 32 bytes before it.
    let tree_root = claim(segments, 1, 7).root;
    let root_at = inner.windows(32).position(|window| window == tree_root).expect("it names its root");
    let mut flipped = good.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    vec![
        case("a receipt", "receipt", hex(&good), "good"),
        case("of a smaller tree", "receipt", hex(&alone), "good"),
        case("a forged signature", "receipt", hex(&flipped), "signature"),
        case("another root, signed", "receipt", by_store(&with(root_at, &[tree_root[0] ^ 1])), "not-in-tree"),
        case("another place, signed", "receipt", by_store(&with(root_at + 32, &[5])), "not-in-tree"),
        case("a place beyond the tree, signed", "receipt", by_store(&with(root_at + 32, &[7])), "not-in-tree"),
        case("a number in a longer form, signed", "receipt", by_store(&with(root_at + 32, &[0x18, 4])), "malformed"),
        case("a newer receipt", "receipt", by_store(&with(1, &[2])), "newer"),
        case("a cut receipt", "receipt", hex(&good[..good.len() - 1]), "malformed"),
        case("its array in a longer form", "receipt", hex(&[&[0x98, 2], &good[1..]].concat()), "malformed"),
    ]
}

fn proof_cases(segments: &[Segment]) -> Vec<Value> {
    let mut world = World::new();
    world.chain.follow(&segments[0]).expect("the first");
    let mut draft = world.draft();
    draft.push(Tombstone { document: DocumentId::from_bytes([2; 16]) });
    let other = world.close(draft);
    let pair = |a: &Segment, b: &Segment| {
        let mut out = Vec::new();
        let mut e = minicbor::Encoder::new(&mut out);
        e.array(5).and_then(|e| e.u8(1)).expect("memory");
        for head in [a, b].map(Segment::verified_head) {
            e.bytes(head.get().signed_bytes()).and_then(|e| e.bytes(&head.signature())).expect("memory");
        }
        out
    };
    let proof = Proof::of(segments[1].verified_head().clone(), other.verified_head().clone()).expect("they contradict");
    let good = proof.encode();
    let turned =
        if pair(&segments[1], &other) == good { pair(&other, &segments[1]) } else { pair(&segments[1], &other) };
    let mut forged = good.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let mut newer = good.clone();
    newer[1] = 2;
    vec![
        case("two stories of one place", "proof", hex(&good), "good"),
        case("the greater digest first", "proof", hex(&turned), "malformed"),
        case("a forged signature", "proof", hex(&forged), "signature"),
        case("one head twice", "proof", hex(&pair(&other, &other)), "no-contradiction"),
        case("two places", "proof", hex(&pair(&segments[0], &other)), "no-contradiction"),
        case("a newer proof", "proof", hex(&newer), "newer"),
        case("a cut proof", "proof", hex(&good[..good.len() - 1]), "malformed"),
    ]
}

fn trees() -> Vec<Value> {
    let leaves: Vec<Hash> = (0..9_u8).map(|n| leaf(&vec![n; usize::from(n)])).collect();
    let of = |size: usize| {
        let leaves = &leaves[..size];
        let hashes = |path: Vec<Hash>| path.iter().map(|hash| hex(hash)).collect::<Vec<_>>();
        json!({
            "size": size,
            "root": hex(&root(leaves)),
            "inclusion": (0..size).map(|n| hashes(inclusion(leaves, n).expect("it is there"))).collect::<Vec<_>>(),
            "consistency": (1..=size).map(|n| hashes(consistency(leaves, n).expect("not more"))).collect::<Vec<_>>(),
        })
    };
    (0..=9).map(of).collect()
}

fn vectors() -> Value {
    let (world, segments) = log();
    let cases = [
        delta_cases(&segments),
        segment_cases(&segments),
        log_cases(&segments),
        receipt_cases(&segments),
        proof_cases(&segments),
    ];
    let grown = {
        let (early, late) = (claim(&segments, 0, 4), claim(&segments, 1, 7));
        let path = consistency(&heads_tree(&segments), 4).expect("shorter");
        assert!(signed(early.clone()).get().grew_into(signed(late.clone()).get(), &path), "the tree only grew");
        json!({
            "old": early.size, "old_root": hex(&early.root), "new": late.size, "new_root": hex(&late.root),
            "path": path.iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
        })
    };
    json!({
        "about": "Golden vectors of docs/federation-format.md, written by core/tests/federation.rs. The keys are nobody's.",
        "author": {
            "seed": hex(&author().to_bytes()),
            "public": hex(author().verifying_key().as_bytes()),
            "device": hex(DeviceId::of_key(&author().verifying_key()).as_bytes()),
        },
        "store": { "seed": hex(&store().to_bytes()), "public": hex(store().verifying_key().as_bytes()) },
        "fleet": hex(&FLEET),
        "space": hex(SPACE.as_bytes()),
        "incarnation": INCARNATION,
        "heads": segments.iter().map(|segment| hex(&segment.digest())).collect::<Vec<_>>(),
        "bodies": world.bodies,
        "trees": trees(),
        "grown": grown,
        "cases": cases.concat(),
    })
}

#[test]
fn the_committed_vectors_are_what_the_code_gives() {
    let path = folder().join("vectors.json");
    let given = vectors();
    if std::env::var_os("HEARTH_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&given).expect("it is JSON") + "\n";
        std::fs::write(&path, text).expect("the folder of the vectors can be written");
    }
    let text =
        std::fs::read_to_string(&path).expect("the vectors are committed; write them with HEARTH_WRITE_VECTORS=1");
    let committed: Value = serde_json::from_str(&text).expect("it is JSON");
    for (key, value) in given.as_object().expect("an object") {
        assert_eq!(&committed[key], value, "`{key}`; a changed format needs a new version and a decision in docs/adr/");
    }
    assert_eq!(committed, given);
}

/// Seeds for fuzzers, one file a case: `fuzz/READER/CASE`.
#[test]
fn every_seed_is_committed_and_no_cut_or_flip_of_one_makes_a_reader_panic() {
    let writing = std::env::var_os("HEARTH_WRITE_VECTORS").is_some();
    let given = vectors();
    for case in given["cases"].as_array().expect("a list").iter().filter(|case| case["bytes"].is_string()) {
        let (read_as, name) = (case["as"].as_str().expect("a text"), case["name"].as_str().expect("a text"));
        let path = folder().join("fuzz").join(read_as).join(name.replace(", ", "-").replace([' ', '\''], "-"));
        let seed = bytes(&case["bytes"]);
        if writing {
            std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("the folder can be made");
            std::fs::write(&path, &seed).expect("the seed can be written");
        }
        assert!(std::fs::read(&path).is_ok_and(|committed| committed == seed), "{} is another", path.display());
    }
    for (reader, name, seed) in states() {
        let path = folder().join("fuzz").join(reader).join(name);
        if writing {
            std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("the folder can be made");
            std::fs::write(&path, &seed).expect("the seed can be written");
        }
        assert!(std::fs::read(&path).is_ok_and(|committed| committed == seed), "{} is another", path.display());
    }
    let mut seeds = 0;
    for reader in std::fs::read_dir(folder().join("fuzz")).expect("the seeds are committed").flatten() {
        // What the other tests of this folder, and those of `tests/fuzz`, have seeds for is theirs.
        let Some(read) = read_as(&reader.file_name().to_string_lossy()) else { continue };
        for seed in std::fs::read_dir(reader.path()).expect("a folder of seeds").flatten() {
            let seed = std::fs::read(seed.path()).expect("a seed can be read");
            seeds += 1;
            let again = |bytes: &[u8]| read(bytes).is_none_or(|again| again == bytes);
            assert!(again(&seed), "one thing, one form");
            for cut in 0..seed.len() {
                assert!(again(&seed[..cut]), "cut at {cut}");
                let mut flipped = seed.clone();
                flipped[cut] ^= 1 << (cut % 8);
                assert!(again(&flipped), "flipped at {cut}");
            }
        }
    }
    assert!(seeds >= 50, "{seeds} seeds");
}

/// Shared state, as seeds only: it travels inside sealed bodies.
fn states() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let device = |n: u8| DeviceId::from_bytes([n; 16]);
    let dot = |author: u8, seq: u64| Dot { author: device(author), incarnation: INCARNATION, seq };
    let document = |n: u8| DocumentId::from_bytes([n; 16]);
    let mut seen = Seen::nothing();
    seen.advance(device(1), INCARNATION, 2);
    seen.advance(device(2), 1, u64::MAX);

    let mut map = Map::default();
    for (key, time, value) in
        [(&b"title"[..], CLOSED << 16 | 3, Some(&b"milk"[..])), (b"gone", 1, None), (b"", u64::MAX, Some(b""))]
    {
        map.apply(Write::new(key, Stamp::from_parts(time, device(7)), value).expect("short"));
    }
    let mut set = Set::default();
    let first = set.add(dot(1, 0), b"tax").expect("short");
    set.add(dot(1, 1), b"tax").expect("short");
    set.add(dot(3, 1 << 40), b"home").expect("short");
    set.remove(b"home").expect("it is there");
    let mut settled = set.clone();
    settled.settle(&seen);

    let mut documents = Documents::default();
    let born = documents.bear(dot(1, 0), document(1));
    documents.bear(dot(1, 1), document(2));
    let gone = documents.bury(dot(2, 0), document(1));
    let mut stability = Stability::default();
    assert_eq!(stability.poll(Moment::START, &seen), None, "the first round");
    let mut forgotten = documents.clone();
    forgotten.settle(&stability.poll(Moment::START, &seen).expect("nobody else is asked"));
    vec![
        ("map", "empty", Map::default().encode()),
        ("map", "facts", map.encode()),
        ("set", "empty", Set::default().encode()),
        ("set", "an-addition", first.encode()),
        ("set", "added-and-removed", set.encode()),
        ("set", "settled", settled.encode()),
        ("documents", "empty", Documents::default().encode()),
        ("documents", "born", born.encode()),
        ("documents", "gone", gone.encode()),
        ("documents", "both", documents.encode()),
        ("documents", "settled", forgotten.encode()),
        ("documents", "a-newer-version", vec![0x85, 2]),
        ("set", "a-list-without-items", vec![0x84, 1, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255]),
    ]
}

/// Gives back what it made of bytes, written again.
type Reader = fn(&[u8]) -> Option<Vec<u8>>;

/// The reader that this folder of seeds is for.
fn read_as(name: &str) -> Option<Reader> {
    Some(match name {
        "delta" => |bytes| {
            let logged = Logged::decode(bytes).ok()?;
            let (document, body) = (logged.document, Sealed::from_bytes(logged.body.to_vec()));
            Some(match logged.kind {
                Kind::Tombstone => Delta::of(logged.seq, Tombstone { document }).encode(),
                kind => Delta::of(logged.seq, SealedChange { kind, document, epoch: logged.epoch, body }).encode(),
            })
        },
        "segment" => |bytes| Segment::open(bytes).ok().map(|segment| segment.encode()),
        "receipt" => |bytes| Receipt::open(bytes).ok().map(|receipt| receipt::encode(&receipt)),
        "proof" => |bytes| Proof::open(bytes).ok().map(|proof| proof.encode()),
        "map" => |bytes| Map::decode(bytes).ok().map(|map| map.encode()),
        "set" => |bytes| Set::decode(bytes).ok().map(|set| set.encode()),
        "documents" => |bytes| Documents::decode(bytes).ok().map(|documents| documents.encode()),
        _ => return None,
    })
}

#[test]
fn every_committed_case_is_judged_as_it_says() {
    let text = std::fs::read_to_string(folder().join("vectors.json")).expect("the vectors are committed");
    let committed: Value = serde_json::from_str(&text).expect("it is JSON");
    for case in committed["cases"].as_array().expect("a list") {
        assert_eq!(case["verdict"], verdict(case), "{}: {}", case["as"], case["name"]);
    }
}
