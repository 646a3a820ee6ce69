use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof};
use sha2::Sha256;

use super::*;
use crate::proof::tile::WIDTH;
use crate::proof::{self, InvalidProof, check_consistency, check_inclusion};

/// The size up to which all pairs are tried.
const SIZE_MAX: u64 = 300;

/// A tree with its tiles, and the same tree by another implementation.
struct TwoTrees {
    tree: Tree,
    full: BTreeMap<TilePosition, FullTile>,
    oracle: MemoryBackedTree<Sha256, Vec<u8>>,
    heads: Vec<Checkpoint>,
}

fn record(index: u64) -> Vec<u8> {
    format!("record {index}").into_bytes()
}

impl TwoTrees {
    fn new() -> Self {
        let tree = Tree::default();
        let heads = vec![tree.head()];
        Self { tree, full: BTreeMap::new(), oracle: MemoryBackedTree::new(), heads }
    }

    fn push(&mut self) {
        let entry = proof::entry(&record(self.tree.size()));
        self.oracle.push(entry.to_vec());
        let full = &mut self.full;
        self.tree.push(proof::leaf(&entry), |place, tile| {
            assert!(full.insert(place, tile).is_none(), "a tile is completed once");
        });
        self.heads.push(self.tree.head());
    }

    fn prover(&self) -> TreeProver<'_, impl Fn(TilePosition) -> Result<FullTile, Error> + '_> {
        TreeProver::new(&self.tree, |place| {
            let found = self.full.get(&place).cloned();
            found.ok_or_else(|| Error::Missing { path: place.path(WIDTH) })
        })
    }
}

fn leaf(index: u64) -> Hash {
    proof::leaf(&proof::entry(&record(index)))
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

#[test]
fn proofs_for_all_pairs_agree_with_another_implementation() {
    let mut both = TwoTrees::new();
    for size in 1..=SIZE_MAX {
        both.push();
        let head = both.heads[size as usize];
        assert_eq!(head.root.0, both.oracle.root().as_bytes().as_slice(), "{size}");
        for index in 0..size {
            let ours = both.prover().inclusion(leaf(index), index, &head).unwrap();
            let theirs: InclusionProof<Sha256> = both.oracle.prove_inclusion(index as usize);
            assert_eq!(bytes(&ours), theirs.as_bytes(), "leaf {index} of {size}");
            assert_eq!(check_inclusion(&record(index), index, &ours, &head), Ok(()));
        }
        for old in 1..=size {
            let ours = both.prover().consistency(old, &head).unwrap();
            let theirs: ConsistencyProof<Sha256> =
                both.oracle.prove_consistency((size - old) as usize);
            assert_eq!(bytes(&ours), theirs.as_bytes(), "{old} to {size}");
            assert_eq!(check_consistency(&both.heads[old as usize], &head, &ours), Ok(()));
        }
    }
    // From the tree as it is at the end, too.
    for size in (1..=SIZE_MAX).step_by(7) {
        let head = both.heads[size as usize];
        for index in 0..size {
            let earlier = both.prover().inclusion(leaf(index), index, &head).unwrap();
            assert_eq!(check_inclusion(&record(index), index, &earlier, &head), Ok(()));
            let old = &both.heads[index as usize];
            let earlier = both.prover().consistency(index, &head).unwrap();
            assert_eq!(check_consistency(old, &head, &earlier), Ok(()), "{index} to {size}");
        }
    }
}

#[test]
fn proofs_prove_nothing_else() {
    let mut both = TwoTrees::new();
    (0..SIZE_MAX).for_each(|_| both.push());
    let head = both.heads[SIZE_MAX as usize];
    let path = both.prover().inclusion(leaf(17), 17, &head).unwrap();
    let size = head.size;
    let not_included = |index, size| Err(InvalidProof::NotIncluded { index, size });
    let longer = [path.as_slice(), &path[..1]].concat();
    assert_eq!(check_inclusion(&record(18), 17, &path, &head), not_included(17, size));
    assert_eq!(check_inclusion(&record(17), 18, &path, &head), not_included(18, size));
    assert_eq!(check_inclusion(&record(17), 17, &path[1..], &head), not_included(17, size));
    assert_eq!(check_inclusion(&record(17), 17, &longer, &head), not_included(17, size));
    let larger = Checkpoint { size: 1_024, ..head };
    assert_eq!(check_inclusion(&record(17), 17, &path, &larger), not_included(17, 1_024));
    let past = Err(InvalidProof::LeafPastTree { index: 300, size });
    assert_eq!(check_inclusion(&record(17), 300, &path, &head), past);

    let old = both.heads[100];
    let steps = both.prover().consistency(100, &head).unwrap();
    let other = Checkpoint { root: both.heads[99].root, ..old };
    let rewritten = |old| Err(InvalidProof::Rewritten { old, new: size });
    assert_eq!(check_consistency(&other, &head, &steps), rewritten(100));
    assert_eq!(check_consistency(&both.heads[101], &head, &steps), rewritten(101));
    let smaller = Err(InvalidProof::Smaller { old: size, new: 100 });
    assert_eq!(check_consistency(&head, &old, &steps), smaller);
    assert!(check_consistency(&both.heads[0], &head, &[]).is_ok(), "all begin with nothing");
    assert_eq!(check_consistency(&Checkpoint { size: 0, ..old }, &head, &[]), rewritten(0));
    let too_large = |refused| assert!(matches!(refused, Err(Error::Sizes { .. })), "{refused:?}");
    too_large(both.prover().consistency(301, &head));
    too_large(both.prover().inclusion(leaf(300), 300, &head));
}

#[test]
fn no_proof_comes_from_a_damaged_tile() {
    let mut both = TwoTrees::new();
    (0..SIZE_MAX).for_each(|_| both.push());
    let head = both.heads[SIZE_MAX as usize];
    let place = TilePosition { level: 0, index: 0 };
    let mut tile = both.full[&place].to_vec();
    tile[5 * HASH_BYTES] ^= 1;
    both.full.insert(place, tile.into());
    let refused = both.prover().inclusion(leaf(201), 200, &head);
    assert!(matches!(refused, Err(Error::Damaged { size: 300 })), "another record: {refused:?}");
    assert!(matches!(both.prover().consistency(200, &head), Err(Error::Damaged { size: 300 })));
    assert!(matches!(
        both.prover().inclusion(leaf(200), 200, &head),
        Err(Error::Damaged { size: 300 })
    ));
    both.full.clear();
    assert!(matches!(both.prover().inclusion(leaf(200), 200, &head), Err(Error::Missing { .. })));
    assert!(both.prover().inclusion(leaf(299), 299, &head).is_ok(), "that needs only the edge");
}

#[test]
fn a_tree_goes_on_from_its_edges() {
    let mut both = TwoTrees::new();
    for size in 0..=SIZE_MAX {
        let edges: BTreeMap<_, _> =
            both.tree.edges().map(|(place, edge)| (place, edge.to_vec())).collect();
        let loaded = Tree::load(size, |place, width| {
            assert_eq!(edges[&place].len(), width * HASH_BYTES);
            Ok(edges[&place].clone())
        });
        assert_eq!(loaded.unwrap().head(), both.tree.head());
        both.push();
    }
    let refused = Tree::load(SIZE_MAX, |_, _| Ok(Vec::new())).map(drop);
    assert!(matches!(refused, Err(Error::Damaged { size: SIZE_MAX })), "{refused:?}");
}
