//! The files that access hangs on, TOKENS_FILE and the certificates of HTTPS: read at the start and again on a reload.
//!
//! ```text
//! Access::read ─► App ─► each request looks tokens up, each handshake takes the newest certificate
//!      └─ clone ─► Access::reload, on SIGHUP and the verb
//! ```
//! Each is replaced as a whole, and only by a good one: a bad file leaves the old contents in use and is named.
//! Reading blocks; call from where that does no harm. Files are small regular ones, so it does not last.
//! Not here: what the files say (`tokens`, `serve::tls`).

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::ServerConfig;

use super::{
    mode::exposure,
    tokens::{Tokens, TokensError},
};
use crate::serve::tls::{self, TlsError, TlsFiles};

/// Largest file, bytes. A thousand tokens with long rules and a chain of certificates have a tenth of it.
const FILE_BYTES: u64 = 1 << 20;

/// The setting that names the file of tokens.
const TOKENS_FILE: &str = "TOKENS_FILE";

/// Named tokens and the certificates of HTTPS, where they are set. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Access(Arc<Files>);

#[derive(Debug, Default)]
struct Files {
    tokens: Option<(PathBuf, ArcSwap<Tokens>)>,
    tls: Option<(TlsFiles, ArcSwap<ServerConfig>)>,
}

/// A file that cannot be used. What was read before stays in use.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {}: {why}", path.display())]
pub struct FileError {
    setting: &'static str,
    path: PathBuf,
    why: Fault,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Io(std::io::Error),
    #[error("not a regular file")]
    NotAFile,
    #[error("larger than {FILE_BYTES} bytes")]
    TooLarge,
    #[error("not UTF-8")]
    NotText,
    #[error("{0}")]
    Tokens(TokensError),
    #[error("{0}")]
    Tls(TlsError),
}

impl FileError {
    /// The setting that names the file.
    pub const fn setting(&self) -> &'static str {
        self.setting
    }

    /// What is wrong with it, in words.
    pub fn why(&self) -> String {
        self.why.to_string()
    }

    pub(crate) fn tls(setting: &'static str, path: &Path, why: TlsError) -> Self {
        Self { setting, path: path.into(), why: Fault::Tls(why) }
    }
}

impl Access {
    /// Reads the files that are set.
    pub fn read(tokens: Option<PathBuf>, tls: Option<TlsFiles>) -> Result<Self, FileError> {
        let tokens = match tokens {
            Some(path) => Some((path.clone(), ArcSwap::from_pointee(read_tokens(&path)?))),
            None => None,
        };
        let tls = match tls {
            Some(files) => Some((files.clone(), ArcSwap::new(tls::read(&files)?))),
            None => None,
        };
        Ok(Self(Arc::new(Files { tokens, tls })))
    }

    /// Reads all files again. Good ones are in use from then on, whatever is wrong with others.
    pub fn reload(&self) -> Result<(), Vec<FileError>> {
        let mut errors = Vec::new();
        if let Some((path, tokens)) = &self.0.tokens {
            match read_tokens(path) {
                Ok(new) => tokens.store(Arc::new(new)),
                Err(err) => errors.push(err),
            }
        }
        if let Some((files, config)) = &self.0.tls {
            match tls::read(files) {
                Ok(new) => config.store(new),
                Err(err) => errors.push(err),
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Files with secrets that others than those they are for may read or write, as sentences.
    pub fn warnings(&self) -> Vec<String> {
        let tokens = self.0.tokens.as_ref().map(|(path, _)| (TOKENS_FILE, path));
        let key = self.0.tls.as_ref().map(|(files, _)| (tls::KEY, &files.key));
        let open = |(setting, path): (&str, &PathBuf)| exposure(&format!("{setting} {}", path.display()), path);
        tokens.into_iter().chain(key).filter_map(open).collect()
    }

    /// Whether TCP listeners speak HTTPS.
    pub fn is_https(&self) -> bool {
        self.0.tls.is_some()
    }

    /// The present tokens, if there is a file of them.
    pub(super) fn tokens(&self) -> Option<Arc<Tokens>> {
        self.0.tokens.as_ref().map(|(_, tokens)| tokens.load_full())
    }

    /// Whether TCP listeners speak TLS, and with what at present.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.0.tls.as_ref().map(|(_, config)| config.load_full())
    }
}

fn read_tokens(path: &Path) -> Result<Tokens, FileError> {
    let bad = |why| FileError { setting: TOKENS_FILE, path: path.into(), why };
    let bytes = read(TOKENS_FILE, path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| bad(Fault::NotText))?;
    Tokens::parse(text).map_err(|err| bad(Fault::Tokens(err)))
}

/// The whole of a small file. What is no regular file is not opened: a pipe would never end.
pub(crate) fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, FileError> {
    let bad = |why| FileError { setting, path: path.into(), why };
    if !path.metadata().map_err(|err| bad(Fault::Io(err)))?.is_file() {
        return Err(bad(Fault::NotAFile));
    }
    let file = File::open(path).map_err(|err| bad(Fault::Io(err)))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|err| bad(Fault::Io(err)))?;
    if bytes.len() as u64 > FILE_BYTES { Err(bad(Fault::TooLarge)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn only_small_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let why = |path: &Path| read(TOKENS_FILE, path).unwrap_err();
        assert!(matches!(why(&path).why, Fault::Io(_)));
        assert!(matches!(why(folder.path()).why, Fault::NotAFile));
        fs::write(&path, vec![b'#'; 1 << 20]).unwrap();
        assert_eq!(read(TOKENS_FILE, &path).unwrap().len(), 1 << 20);
        assert!(Access::read(Some(path.clone()), None).is_ok());
        fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
        assert!(matches!(why(&path).why, Fault::TooLarge));
        fs::write(&path, b"\xff").unwrap();
        let err = Access::read(Some(path.clone()), None).unwrap_err();
        assert_eq!((err.setting(), err.why()), ("TOKENS_FILE", "not UTF-8".to_owned()));
    }

    #[test]
    fn a_file_of_secrets_that_others_can_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        fs::write(&path, "").unwrap();
        for (mode, n_warnings) in [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1), (0o620, 1)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Access::read(Some(path.clone()), None).unwrap().warnings().len(), n_warnings, "{mode:o}");
        }
    }
}
