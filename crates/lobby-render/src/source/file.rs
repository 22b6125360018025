//! What `file` reads. Decides when a file is read again: every two seconds, if its size, time or inode is another one.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{News, Source};
use crate::{Answer, Query};

/// Between two looks; consul-template's.
pub(super) const POLL: Duration = Duration::from_secs(2);

/// The longest file: as much as a body of an agent.
const MAX_BYTES: u64 = super::BODY_BYTES as u64;

/// The files of this machine. An error is final: whoever wrote the template mends it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files;

impl Source for Files {
    async fn watch(&self, query: Query, news: mpsc::Sender<News>) {
        tokio::select! {
            () = news.closed() => {}
            () = watch(&query, &news) => {}
        }
    }
}

async fn watch(query: &Query, news: &mpsc::Sender<News>) {
    let Query::File(path) = query else {
        let message = "only files are read here".to_owned();
        return drop(news.send(News::Failed { query: query.clone(), message }).await);
    };
    let (mut seen, mut told) = (None, None);
    loop {
        match look(path.clone(), seen).await {
            Ok(None) => {}
            Ok(Some((stamp, bytes))) => {
                seen = Some(stamp);
                if told.as_ref() != Some(&bytes) {
                    told = Some(bytes.clone());
                    if news.send(News::Answer(query.clone(), Answer::File(bytes))).await.is_err() {
                        return;
                    }
                }
            }
            Err(err) => {
                let message = format!("{}: {err}", path.display());
                return drop(news.send(News::Failed { query: query.clone(), message }).await);
            }
        }
        sleep(POLL).await;
    }
}

/// What tells one state of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified: (i64, i64),
    inode: (u64, u64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            inode: (metadata.dev(), metadata.ino()),
        }
    }
}

/// The file, unless it is as it was seen.
async fn look(path: PathBuf, seen: Option<Stamp>) -> io::Result<Option<(Stamp, Arc<[u8]>)>> {
    let look = move || {
        let stamp = Stamp::of(&regular(&path)?);
        if seen == Some(stamp) {
            return Ok(None);
        }
        Ok(Some((stamp, read(&path, MAX_BYTES)?.into())))
    };
    spawn_blocking(look).await.unwrap_or_else(|err| Err(io::Error::other(err)))
}

/// Of a file with bytes in it. To open a pipe would wait for whoever writes to it.
pub(super) fn regular(path: &Path) -> io::Result<Metadata> {
    let metadata = fs::metadata(path)?;
    match metadata.is_file() {
        true => Ok(metadata),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// All of a file of at most so many bytes, whatever its size is said to be.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {most} bytes"))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(news: &mut mpsc::Receiver<News>) -> Result<Vec<u8>, String> {
        match news.recv().await {
            Some(News::Answer(Query::File(_), Answer::File(bytes))) => Ok(bytes.to_vec()),
            Some(News::Failed { message, .. }) => Err(message),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_told_when_it_is_another_one_until_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "one").unwrap();
        let (sender, mut news) = mpsc::channel(1);
        let query = Query::File(path.clone());
        tokio::spawn(async move { Files.watch(query, sender).await });
        assert_eq!(next(&mut news).await.unwrap(), b"one");
        // The same bytes in another file are nothing new.
        fs::write(folder.path().join("b"), "one").unwrap();
        fs::rename(folder.path().join("b"), &path).unwrap();
        let waited = tokio::time::timeout(3 * POLL, news.recv()).await;
        assert!(waited.is_err(), "{waited:?}");
        fs::write(&path, "three").unwrap();
        let begun = tokio::time::Instant::now();
        assert_eq!(next(&mut news).await.unwrap(), b"three");
        assert!(begun.elapsed() <= POLL);
        fs::remove_file(&path).unwrap();
        assert!(next(&mut news).await.unwrap_err().contains("/a: "));
        assert_eq!(news.recv().await, None);
    }

    #[tokio::test]
    async fn only_regular_files_are_read() {
        for path in ["/", "/dev/zero", "/does/not/exist"] {
            let (sender, mut news) = mpsc::channel(1);
            tokio::join!(Files.watch(Query::File(path.into()), sender), async { next(&mut news).await.unwrap_err() });
        }
    }

    #[test]
    fn the_longest_file_is_read_and_no_longer_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(read(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
