use super::*;
use crate::proof::SigningKey;
use crate::proof::key::SignatureKind;
use crate::proof::{check_consistency, entry, leaf};

fn key() -> SigningKey {
    SigningKey::generate("test.example/log", SignatureKind::Log).unwrap()
}

/// Appends leaves and commits, as a follower does.
fn grow(store: &DiskTileStore, tree: &mut Tree, size: u64, key: &SigningKey) -> SignedCheckpoint {
    while tree.size() < size {
        let leaf = leaf(&entry(&tree.size().to_be_bytes()));
        tree.push(leaf, |place, tile| store.write(place, &tile).unwrap());
    }
    let signed = SignedCheckpoint::sign(tree.head(), key).unwrap();
    store.commit(tree, &signed).unwrap();
    signed
}

/// All files below a folder, by their paths in it.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_files_are_those_of_the_specification() {
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    let (store, opened) = DiskTileStore::open(folder.path(), &key).unwrap();
    assert!(opened.signed.is_none() && opened.tree.is_none());
    let mut tree = Tree::default();
    grow(&store, &mut tree, 100, &key);
    assert_eq!(files(folder.path()), ["checkpoint", "tile/0/000.p/100"]);
    // The example of tlog-tiles.
    grow(&store, &mut tree, 70_000, &key);
    let found = files(folder.path());
    let partial: Vec<_> = found.iter().filter(|path| path.contains(".p/")).collect();
    assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    assert_eq!(found.iter().filter(|path| path.starts_with("tile/0/")).count(), 274);
    assert_eq!(found.len(), 1 + 274 + 2 + 1);
    assert_eq!(tiles(70_000).count(), 274 + 2 + 1);
    for (place, width) in tiles(70_000) {
        assert!(read_tile(folder.path(), place, width).unwrap().is_some(), "{place:?}");
    }
}

#[test]
fn a_tree_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    let mut first = None;
    for size in [0, 1, 255, 256, 257, 600, 65_536, 66_000] {
        let (store, opened) = DiskTileStore::open(folder.path(), &key).unwrap();
        assert_eq!(opened.signed, first);
        let mut tree = opened.tree.unwrap_or_default();
        assert_eq!(
            tree.size(),
            first.as_ref().map_or(0, SignedCheckpoint::size),
            "its edges are there"
        );
        let before = tree.head();
        let signed = grow(&store, &mut tree, size, &key);
        let prover = tree::TreeProver::new(&tree, |place| {
            let found = store.read(place).map_err(|_| tree::Error::Damaged { size: 0 })?;
            found.ok_or_else(|| tree::Error::Missing { path: place.path(WIDTH) })
        });
        let steps = prover.consistency(before.size, &tree.head()).unwrap();
        assert_eq!(check_consistency(&before, signed.checkpoint(), &steps), Ok(()));
        first = Some(signed);
    }
}

#[test]
fn damaged_edges_are_noticed_and_another_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    let (store, _) = DiskTileStore::open(folder.path(), &key).unwrap();
    grow(&store, &mut Tree::default(), 300, &key);
    let edge = folder.path().join("tile/0/001.p/44");
    let whole = fs::read(&edge).unwrap();
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    for bytes in [&damaged[..], &whole[..whole.len() - 1], &[]] {
        fs::write(&edge, bytes).unwrap();
        let (_, opened) = DiskTileStore::open(folder.path(), &key).unwrap();
        assert!(opened.signed.is_some() && opened.tree.is_none());
    }
    let other = SigningKey::generate("test.example/log", SignatureKind::Log).unwrap();
    let refused = DiskTileStore::open(folder.path(), &other).err().map(|error| error.to_string());
    assert!(refused.unwrap().contains("the key with which it began"));
}

#[test]
fn what_leaves_the_log_is_signed_for() {
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    let (store, opened) = DiskTileStore::open(folder.path(), &key).unwrap();
    assert_eq!(opened.minimum, 0);
    store.release(101, Some(&Tree::default().head())).unwrap();
    let (_, opened) = DiskTileStore::open(folder.path(), &key).unwrap();
    assert_eq!(opened.minimum, 100);
}
