//! One look at a folder of keys. Decides what is below it; when to look is `folder`.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::answer::KeyPair;
use crate::source::decode::below;
use crate::source::file::{Stamp, read, regular};

/// The longest value: Consul's.
const MAX_VALUE: u64 = 512 << 10;

/// A link that leads to itself, on Linux and on BSD.
const ELOOP: [i32; 2] = [40, 62];

/// A value, and the state of the file that it was read from.
type Seen = (Stamp, Arc<[u8]>);

/// How much one look takes in.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Entries of all folders.
    entries: usize,
    /// Of all values.
    bytes: usize,
    /// Folders inside each other.
    depth: usize,
}

/// Far more keys than templates use; as many bytes as in a body of an agent.
const BOUNDS: Bounds = Bounds { entries: 100_000, bytes: super::super::BODY_BYTES, depth: 64 };

/// A folder with the values that were read last.
#[derive(Debug)]
pub(super) struct Scan {
    root: PathBuf,
    bounds: Bounds,
    known: HashMap<PathBuf, Seen>,
}

/// What one listing has taken in so far.
#[derive(Debug, Default)]
struct Taken {
    pairs: Vec<KeyPair>,
    entries: usize,
    bytes: usize,
    known: HashMap<PathBuf, Seen>,
}

impl Scan {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, bounds: BOUNDS, known: HashMap::new() }
    }

    /// The value of one key.
    pub(super) fn key(&mut self, key: &str) -> Result<Option<Arc<[u8]>>, String> {
        let root = self.root()?;
        if !key.split('/').all(is_name) {
            return Ok(None);
        }
        let Some(real) = real(&root, &root.join(key))? else { return Ok(None) };
        let Some(metadata) = present(&real, fs::metadata(&real))? else { return Ok(None) };
        if !metadata.is_file() {
            return Ok(None);
        }
        let Some((stamp, value)) = self.value(&real)? else { return Ok(None) };
        self.known = HashMap::from([(real, (stamp, value.clone()))]);
        Ok(Some(value))
    }

    /// All keys that begin with a prefix, by path.
    pub(super) fn keys(&mut self, prefix: &str) -> Result<Vec<KeyPair>, String> {
        let root = self.root()?;
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut taken = Taken::default();
        if folder.is_empty() || folder.split('/').all(is_name) {
            let path = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            if !prefix.starts_with('/')
                && let Some(real) = real(&root, &root.join(folder))?
            {
                self.list(&root, &mut vec![real], &path, prefix, &mut taken)?;
            }
        }
        taken.pairs.sort_by(|a, b| a.path.cmp(&b.path));
        self.known = taken.known;
        Ok(taken.pairs)
    }

    fn root(&self) -> Result<PathBuf, String> {
        self.root.canonicalize().map_err(|err| format!("{}: {err}", self.root.display()))
    }

    /// Takes in the last of these folders, whose path is that of its keys with a slash at the end.
    fn list(&self, root: &Path, folders: &mut Vec<PathBuf>, path: &str, prefix: &str, taken: &mut Taken) -> Result<(), String> {
        let Some(folder) = folders.last() else { return Ok(()) };
        if folders.len() > self.bounds.depth {
            return Err(format!("{}: more than {} folders inside each other", folder.display(), self.bounds.depth));
        }
        let Some(metadata) = present(folder, fs::metadata(folder))? else { return Ok(()) };
        if !metadata.is_dir() {
            return Ok(());
        }
        let Some(entries) = present(folder, fs::read_dir(folder))? else { return Ok(()) };
        for entry in entries {
            taken.entries += 1;
            if taken.entries > self.bounds.entries {
                return Err(format!("{}: more than {} entries", self.root.display(), self.bounds.entries));
            }
            let entry = entry.map_err(|err| format!("{path}: {err}"))?;
            let Some(name) = entry.file_name().to_str().filter(|name| is_name(name)).map(str::to_owned) else { continue };
            let key = format!("{path}{name}");
            let Some(real) = real(root, &entry.path())? else { continue };
            let Some(metadata) = present(&real, fs::metadata(&real))? else { continue };
            let may_begin = key.starts_with(prefix) || prefix.starts_with(&format!("{key}/"));
            if !may_begin {
                continue;
            }
            // A link to a folder that it is in would go round.
            if metadata.is_dir() && !folders.contains(&real) {
                folders.push(real);
                self.list(root, folders, &format!("{key}/"), prefix, taken)?;
                folders.pop();
            } else if metadata.is_file() && key.starts_with(prefix) {
                self.take(real, key, prefix, taken)?;
            }
        }
        Ok(())
    }

    fn take(&self, real: PathBuf, path: String, prefix: &str, taken: &mut Taken) -> Result<(), String> {
        let Some((stamp, value)) = self.value(&real)? else { return Ok(()) };
        taken.bytes += value.len();
        if taken.bytes > self.bounds.bytes {
            return Err(format!("{}: more than {} bytes of values", self.root.display(), self.bounds.bytes));
        }
        let key = below(prefix, &path).to_owned();
        taken.known.insert(real, (stamp, value.clone()));
        taken.pairs.push(KeyPair { path, key, value, ..KeyPair::default() });
        Ok(())
    }

    /// The bytes of a file, read unless it is as it was.
    fn value(&self, path: &Path) -> Result<Option<Seen>, String> {
        let Some(metadata) = present(path, regular(path))? else { return Ok(None) };
        let stamp = Stamp::of(&metadata);
        if let Some((seen, value)) = self.known.get(path)
            && *seen == stamp
        {
            return Ok(Some((stamp, value.clone())));
        }
        Ok(present(path, read(path, MAX_VALUE))?.map(|bytes| (stamp, bytes.into())))
    }
}

/// Whether a part of a path may be that of a key.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains('\0')
}

/// Where a path leads, if that is below the root.
fn real(root: &Path, path: &Path) -> Result<Option<PathBuf>, String> {
    Ok(present(path, path.canonicalize())?.filter(|real| real.starts_with(root)))
}

/// What is not there is None: it may go while one looks.
fn present<T>(path: &Path, found: std::io::Result<T>) -> Result<Option<T>, String> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(err) if err.raw_os_error().is_some_and(|code| ELOOP.contains(&code)) => Ok(None),
        Err(err) => Err(format!("{}: {err}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn paths(scan: &mut Scan, prefix: &str) -> Vec<String> {
        scan.keys(prefix).unwrap().into_iter().map(|pair| format!("{}={}", pair.path, pair.key)).collect()
    }

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Scan) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join("keys").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let scan = Scan::new(folder.path().join("keys"));
        (folder, scan)
    }

    #[test]
    fn a_prefix_is_one_of_texts_as_in_consul() {
        let (_folder, mut scan) = folder(&[("app/a", "1"), ("app/b/c", "2"), ("apple", "3"), ("z", "4"), (".git/x", "5")]);
        assert_eq!(paths(&mut scan, ""), ["app/a=app/a", "app/b/c=app/b/c", "apple=apple", "z=z"]);
        assert_eq!(paths(&mut scan, "app"), ["app/a=a", "app/b/c=b/c", "apple=le"]);
        assert_eq!(paths(&mut scan, "app/"), ["app/a=a", "app/b/c=b/c"]);
        assert_eq!(paths(&mut scan, "app/b"), ["app/b/c=c"]);
        for nothing in ["app/a/", "x/y", "..", "../keys/app", "/app", "app//a", "."] {
            assert_eq!(paths(&mut scan, nothing), Vec::<String>::new(), "{nothing}");
        }
    }

    #[test]
    fn a_key_has_the_bytes_of_its_file() {
        let (_folder, mut scan) = folder(&[("app/a", "1\n"), (".hidden", "x")]);
        assert_eq!(scan.key("app/a").unwrap().as_deref(), Some(&b"1\n"[..]));
        for nothing in ["app", "app/a/b", "b", "", "../keys/app/a", ".hidden", "app//a", "a\0"] {
            assert_eq!(scan.key(nothing), Ok(None), "{nothing}");
        }
    }

    #[test]
    fn links_lead_nowhere_but_below_the_folder() {
        let (folder, mut scan) = folder(&[("..data/a", "1"), ("b", "2")]);
        let root = folder.path().join("keys");
        fs::write(folder.path().join("secret"), "x").unwrap();
        symlink("..data/a", root.join("a")).unwrap();
        symlink("../secret", root.join("s")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink(".", root.join("round")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("gone", root.join("gone")).unwrap();
        assert_eq!(paths(&mut scan, ""), ["a=a", "b=b"]);
        assert_eq!(scan.key("a").unwrap().as_deref(), Some(&b"1"[..]));
        for outside in ["s", "up/secret", "loop", "gone"] {
            assert_eq!(scan.key(outside), Ok(None), "{outside}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_one_without_keys() {
        let (folder, _) = folder(&[]);
        let mut scan = Scan::new(folder.path().join("none"));
        assert!(scan.key("a").is_err() && scan.keys("").is_err());
    }

    #[test]
    fn values_entries_and_depth_are_bounded() {
        let most = usize::try_from(MAX_VALUE).unwrap();
        let (_folder, mut scan) = folder(&[("a", &"x".repeat(most)), ("b", &"x".repeat(most + 1)), ("c/d/e", "12")]);
        assert_eq!(scan.key("a").unwrap().unwrap().len(), most);
        assert!(scan.key("b").unwrap_err().contains("more than 524288 bytes"));
        let mut at = |entries, bytes, depth| {
            scan.bounds = Bounds { entries, bytes, depth };
            scan.keys("c/").map(|pairs| pairs.len())
        };
        assert_eq!(at(2, 2, 2), Ok(1));
        for (entries, bytes, depth) in [(1, 2, 2), (2, 1, 2), (2, 2, 1)] {
            assert!(at(entries, bytes, depth).is_err());
        }
    }
}
