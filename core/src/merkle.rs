//! The Merkle tree of RFC 6962 §2.1 over SHA-256.
//!
//! Leaves and inner nodes are hashed under different prefixes, so that neither can pose as the other. Roots are taken over leaf hashes:
//! a pruned segment keeps the hash of a leaf in place of the leaf, and its root stays the same. Proofs are made from all leaf hashes
//! and checked with none (RFC 9162 §2.1.3 and §2.1.4, which are RFC 6962's with the checking written out). Nothing is stored here.

use sha2::{Digest, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The hash of one leaf: `SHA-256(0x00 ‖ bytes)` (RFC 6962 §2.1).
pub fn leaf(bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(bytes).finalize().into()
}

/// The root over leaf hashes in order; of none, the hash of the empty string (RFC 6962 §2.1).
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [only] => *only,
        _ => {
            let (left, right) = halves(leaves);
            node(&root(left), &root(right))
        }
    }
}

/// The most hashes in any proof here: one a level, and a tree has no more levels than its size has bits.
pub const PROOF_MAX: usize = 64;

/// The proof that leaf `index` stands under [`root`]: its siblings, lowest first (RFC 6962 §2.1.1); `None` when there is no such leaf.
pub fn inclusion(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let (left, right) = halves(leaves);
    let (mut path, sibling) = match index.checked_sub(left.len()) {
        None => (inclusion(left, index)?, root(right)),
        Some(index) => (inclusion(right, index)?, root(left)),
    };
    path.push(sibling);
    Some(path)
}

/// Whether `path` proves that the leaf with this hash is number `index` of the `size` leaves under `root` (RFC 9162 §2.1.3.2).
pub fn includes(root: &Hash, size: u64, index: u64, leaf: &Hash, path: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut reached) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            reached = node(sibling, &reached);
            (at, last) = to_odd(at, last);
        } else {
            reached = node(&reached, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && reached == *root
}

/// The proof that the first `old` leaves are still the first of all (RFC 6962 §2.1.2); `None` when there are fewer, or `old` is 0.
pub fn consistency(leaves: &[Hash], old: usize) -> Option<Vec<Hash>> {
    (1..=leaves.len()).contains(&old).then(|| subproof(leaves, old, true))
}

fn subproof(leaves: &[Hash], old: usize, known: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if known { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = halves(leaves);
    let (mut path, other) = match old.checked_sub(left.len()) {
        None | Some(0) => (subproof(left, old, known), root(right)),
        Some(rest) => (subproof(right, rest, false), root(left)),
    };
    path.push(other);
    path
}

/// Whether `path` proves that the tree of `new` leaves begins with the tree of `old` leaves (RFC 9162 §2.1.4.2).
///
/// Every tree begins with the empty one: for that the path is empty and `old_root` the hash of the empty string.
pub fn extends(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> bool {
    if old == 0 {
        return path.is_empty() && *old_root == root(&[]) && (new > 0 || new_root == old_root);
    }
    if old >= new {
        return old == new && path.is_empty() && old_root == new_root;
    }
    // A whole subtree of old leaves is not repeated in the path.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, path)
    } else {
        let Some((first, rest)) = path.split_first() else { return false };
        (first, rest)
    };
    let skip = (old - 1).trailing_ones();
    let (mut at, mut last) = ((old - 1) >> skip, (new - 1) >> skip);
    let (mut was, mut is) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (was, is) = (node(hash, &was), node(hash, &is));
            (at, last) = to_odd(at, last);
        } else {
            is = node(&is, hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && was == *old_root && is == *new_root
}

/// A tree that only grows, without its leaves: the roots of its full subtrees, side by side.
///
/// Also called a compact range. RFC 6962 §2.1 splits a tree at the greatest power of two below its size, so the full subtrees are as many
/// as the size has bits set, the largest to the left. A push costs one hash on average, and never more than the size has bits.
///
/// ```
/// use hearth_core::merkle::{Peaks, includes, leaf, root};
/// let (a, b, c) = (leaf(b"a"), leaf(b"b"), leaf(b"c"));
/// let mut tree = Peaks::default();
/// tree.push(a);
/// tree.push(b);
/// let path = tree.push(c);
/// assert_eq!(tree.root(), root(&[a, b, c]));
/// assert!(includes(&tree.root(), tree.size(), 2, &c, &path));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Peaks {
    size: u64,
    /// From left to right, the largest first.
    peaks: Vec<Hash>,
}

impl Peaks {
    /// The tree of `size` leaves with these full subtrees from left to right; `None` when it has another number of them.
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// How many leaves there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the full subtrees from left to right; with [`Peaks::size`], all there is to keep.
    pub fn hashes(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds a leaf and returns the path that proves it in the tree that now is: every full subtree there was, from right to left.
    ///
    /// # Panics
    /// After 2^64 - 1 leaves.
    pub fn push(&mut self, leaf: Hash) -> Vec<Hash> {
        let path = self.peaks.iter().rev().copied().collect();
        let mut peak = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("there is a full subtree for each bit of the size");
            peak = node(&left, &peak);
        }
        self.peaks.push(peak);
        self.size = self.size.checked_add(1).expect("no log has 2^64 segments");
        path
    }

    /// The root; the same as [`root`] over all leaves.
    pub fn root(&self) -> Hash {
        let fold = self.peaks.iter().rev().copied().reduce(|right, left| node(&left, &right));
        fold.unwrap_or_else(|| root(&[]))
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The left half is the largest full tree that leaves something over.
fn halves(leaves: &[Hash]) -> (&[Hash], &[Hash]) {
    leaves.split_at(leaves.len().next_power_of_two() / 2)
}

/// Climbs the levels on which the rightmost node has no sibling.
const fn to_odd(at: u64, last: u64) -> (u64, u64) {
    let skip = if at == 0 { 0 } else { at.trailing_zeros() };
    (at >> skip, last >> skip)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    /// The reference inputs of the certificate-transparency test suites, which every RFC 6962 tree agrees on.
    fn reference() -> Vec<Hash> {
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        inputs.iter().map(|input| leaf(input)).collect()
    }

    fn numbered(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf(&n.to_be_bytes())).collect()
    }

    fn hex(path: &[Hash]) -> Vec<String> {
        path.iter().map(|hash| HEXLOWER.encode(hash)).collect()
    }

    #[test]
    fn roots_agree_with_the_published_test_vectors() {
        let leaves = reference();
        for (count, expected) in [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            assert_eq!(HEXLOWER.encode(&root(&leaves[..count])), expected, "{count} leaves");
        }
    }

    const H0: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    const H1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const H01: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
    const H23: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    const H4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
    const H45: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
    const H67: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    const H03: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";
    const H47: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

    #[test]
    fn inclusion_agrees_with_the_published_test_vectors() {
        let leaves = reference();
        for (index, size, expected) in
            [(0, 1, &[][..]), (0, 8, &[H1, H23, H47]), (5, 8, &[H4, H67, H03]), (2, 3, &[H01]), (1, 5, &[H0, H23, H4])]
        {
            let path = inclusion(&leaves[..size], index).expect("it is in the tree");
            assert_eq!(hex(&path), expected, "{index} of {size}");
        }
        assert_eq!(inclusion(&leaves, 8), None);
        assert_eq!(inclusion(&[], 0), None);
    }

    #[test]
    fn consistency_agrees_with_the_published_test_vectors() {
        let leaves = reference();
        for (old, new, expected) in
            [(1, 1, &[][..]), (1, 8, &[H1, H23, H47]), (6, 8, &[H45, H67, H03]), (2, 5, &[H23, H4])]
        {
            let path = consistency(&leaves[..new], old).expect("not more than there are");
            assert_eq!(hex(&path), expected, "{old} to {new}");
        }
        assert_eq!((consistency(&leaves, 0), consistency(&leaves, 9)), (None, None));
    }

    /// RFC 6962 §2.1.3: the tree of seven leaves, drawn there with its three earlier forms and four audit paths.
    #[test]
    fn the_example_of_the_rfc_has_the_paths_that_it_names() {
        let d = numbered(7);
        let (a, b, c, e, f, j) = (d[0], d[1], d[2], d[3], d[4], d[6]);
        let (g, h, i) = (node(&a, &b), node(&c, &e), node(&f, &d[5]));
        let (k, l) = (node(&g, &h), node(&i, &j));
        assert_eq!(root(&d), node(&k, &l));
        for (index, expected) in [(0, vec![b, h, l]), (3, vec![c, g, l]), (4, vec![d[5], j, k]), (6, vec![i, k])] {
            assert_eq!(inclusion(&d, index), Some(expected), "of leaf {index}");
        }
        for (old, expected) in [(3, vec![c, e, g, l]), (4, vec![l]), (6, vec![i, j, k])] {
            assert_eq!(consistency(&d, old), Some(expected), "from {old}");
        }
    }

    #[test]
    fn every_proof_of_every_small_tree_holds_and_for_no_other_place() {
        let all = numbered(33);
        for size in 1..=33_u64 {
            let leaves = &all[..usize::try_from(size).expect("small")];
            let top = root(leaves);
            for (index, leaf) in (0..).zip(leaves) {
                let path = inclusion(leaves, usize::try_from(index).expect("small")).expect("it is there");
                assert!(path.len() <= PROOF_MAX);
                for claimed in 0..size + 2 {
                    assert_eq!(
                        includes(&top, size, claimed, leaf, &path),
                        claimed == index,
                        "{index} of {size} as {claimed}"
                    );
                }
                assert!(path.is_empty() || !includes(&top, size, index, leaf, &path[1..]), "cut at the leaf");
                assert!(
                    path.is_empty() || !includes(&top, size, index, leaf, &path[..path.len() - 1]),
                    "cut at the root"
                );
                assert!(!includes(&top, size, index, leaf, &[&path[..], &[top]].concat()), "longer");
            }
            for old in 1..=size {
                let old_root = root(&leaves[..usize::try_from(old).expect("small")]);
                let path = consistency(leaves, usize::try_from(old).expect("small")).expect("not more than there are");
                for claimed in 0..size + 2 {
                    assert_eq!(
                        extends(claimed, &old_root, size, &top, &path),
                        claimed == old,
                        "{old} of {size} as {claimed}"
                    );
                }
                assert!(path.is_empty() || !extends(old, &old_root, size, &top, &path[..path.len() - 1]), "cut");
                assert!(!extends(old, &old_root, size, &top, &[&path[..], &[top]].concat()), "longer");
            }
        }
    }

    #[test]
    fn every_tree_begins_with_the_empty_one_and_no_tree_is_shorter_than_its_beginning() {
        let (empty, three) = (root(&[]), root(&numbered(3)));
        assert!(extends(0, &empty, 3, &three, &[]) && extends(0, &empty, 0, &empty, &[]));
        assert!(!extends(0, &three, 3, &three, &[]), "another empty tree");
        assert!(!extends(0, &empty, 0, &three, &[]), "an empty tree with a root");
        assert!(!extends(0, &empty, 3, &three, &[three]), "a path where none is needed");
        assert!(!extends(3, &three, 0, &empty, &[]) && !extends(3, &three, 2, &three, &[]));
        assert!(!includes(&empty, 0, 0, &three, &[]));
    }

    #[test]
    fn a_leaf_never_equals_an_inner_node_of_the_same_bytes() {
        let (a, b) = (leaf(b"a"), leaf(b"b"));
        assert_ne!(root(&[a, b]), leaf(&[a, b].concat()));
    }

    /// The tree as it grows: full subtrees side by side, merged when two are of one size. Shares no code with [`root`].
    fn grown(leaves: &[Hash]) -> Hash {
        let mut peaks: Vec<(u32, Hash)> = Vec::new();
        for hash in leaves {
            let mut peak = (0, *hash);
            while let Some((height, left)) = peaks.pop_if(|(height, _)| *height == peak.0) {
                peak = (height + 1, Sha256::digest([&[1][..], &left, &peak.1].concat()).into());
            }
            peaks.push(peak);
        }
        let top = peaks.into_iter().map(|(_, hash)| hash).rev();
        top.reduce(|right, left| Sha256::digest([&[1][..], &left, &right].concat()).into())
            .unwrap_or_else(|| Sha256::digest([]).into())
    }

    proptest! {
        #[test]
        fn proofs_hold_against_the_tree_as_it_grows(size in 1_usize..600, of in 0_usize..600, old in 0_usize..600) {
            let leaves = numbered(size as u64);
            let (of, old) = (of % size, old % size + 1);
            let (top, before) = (grown(&leaves), grown(&leaves[..old]));
            prop_assert_eq!(root(&leaves), top);
            let path = inclusion(&leaves, of).expect("it is there");
            prop_assert!(includes(&top, size as u64, of as u64, &leaves[of], &path));
            let path = consistency(&leaves, old).expect("not more than there are");
            prop_assert!(extends(old as u64, &before, size as u64, &top, &path));
        }

        #[test]
        fn a_changed_proof_proves_nothing(size in 2_usize..200, of in 0_usize..200, at in 0_usize..2000, bit in 0_u8..8) {
            let leaves = numbered(size as u64);
            let (of, top) = (of % size, root(&leaves));
            let flip = |path: &mut Vec<Hash>| {
                let at = at % (path.len() * 32);
                path[at / 32][at % 32] ^= 1 << bit;
            };
            let mut path = inclusion(&leaves, of).expect("it is there");
            flip(&mut path);
            prop_assert!(!includes(&top, size as u64, of as u64, &leaves[of], &path));
            if of > 0 {
                let mut path = consistency(&leaves, of).expect("not more than there are");
                flip(&mut path);
                prop_assert!(!extends(of as u64, &root(&leaves[..of]), size as u64, &top, &path));
            }
        }

        #[test]
        fn a_tree_without_its_leaves_grows_as_the_tree_does(size in 0_usize..300) {
            let leaves = numbered(size as u64);
            let mut tree = Peaks::default();
            prop_assert_eq!(tree.root(), root(&[]));
            for (index, hash) in leaves.iter().enumerate() {
                let path = tree.push(*hash);
                prop_assert_eq!(Some(path), inclusion(&leaves[..=index], index));
            }
            prop_assert_eq!((tree.size(), tree.root()), (size as u64, root(&leaves)));
            prop_assert_eq!(tree.root(), grown(&leaves));
            let again = Peaks::from_parts(tree.size(), tree.hashes().to_vec());
            prop_assert_eq!(again.as_ref(), Some(&tree));
            prop_assert_eq!(Peaks::from_parts(tree.size() ^ 1, tree.hashes().to_vec()), None, "a peak too many or too few");
        }

        #[test]
        fn any_claim_is_judged(old: u64, new: u64, path in prop::collection::vec(any::<Hash>(), 0..70)) {
            prop_assert!(!includes(&[1; 32], new, old, &[2; 32], &path));
            prop_assert!(old == 0 || !extends(old, &[1; 32], new, &[2; 32], &path));
        }
    }
}
