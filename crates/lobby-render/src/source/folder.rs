//! Keys from a folder, until there is a key-value store. Decides which files are keys: `a/b` below the folder is the key `a/b`,
//! and its bytes, as they are, its value.
//!
//! Names that begin with a dot are no keys (editors, version control and Kubernetes' mounts have such), nor are names that are
//! not UTF-8. A link is followed while it leads to something below the folder. A folder that cannot be read is trouble, and not
//! one without keys. Every data centre has the same keys.
//! Looked at every two seconds; a value is read again when its file's size, time or inode is another one.

mod scan;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::file::POLL;
use super::{News, Source};
use crate::{Answer, Query};
use scan::Scan;

/// A folder with a file for each key.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder at this path; it may come later.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Source for Folder {
    async fn watch(&self, query: Query, news: mpsc::Sender<News>) {
        tokio::select! {
            () = news.closed() => {}
            () = watch(Scan::new(self.root.clone()), &query, &news) => {}
        }
    }
}

async fn watch(mut scan: Scan, query: &Query, news: &mpsc::Sender<News>) {
    let mut told = None;
    let mut attempts = 0;
    loop {
        let asked = query.clone();
        let looked = spawn_blocking(move || {
            let answer = look(&mut scan, &asked);
            (scan, answer)
        });
        // It is only cut off when the program ends.
        let Ok((back, answer)) = looked.await else { return };
        scan = back;
        let tidings = match answer {
            Ok(answer) if told.as_ref() == Some(&answer) => {
                attempts = 0;
                None
            }
            Ok(answer) => {
                (told, attempts) = (Some(answer.clone()), 0);
                Some(News::Answer(query.clone(), answer))
            }
            Err(message) => {
                attempts += 1u32;
                // Whoever logs it hears of it less and less often.
                attempts.is_power_of_two().then(|| News::Trouble { query: query.clone(), message, attempts })
            }
        };
        if let Some(tidings) = tidings
            && news.send(tidings).await.is_err()
        {
            return;
        }
        sleep(POLL).await;
    }
}

fn look(scan: &mut Scan, query: &Query) -> Result<Answer, String> {
    match query {
        Query::Key { path, .. } => scan.key(path).map(Answer::Key),
        Query::Keys { prefix, .. } => scan.keys(prefix).map(|pairs| Answer::Keys(Arc::from(pairs))),
        _ => Err("only keys are read here".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_told_when_it_comes_changes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("keys");
        let (sender, mut news) = mpsc::channel(1);
        let (query, source) = (Query::key("a/b").unwrap(), Folder::new(&root));
        tokio::spawn(async move { source.watch(query, sender).await });
        for attempts in [1, 2, 4] {
            assert!(matches!(news.recv().await, Some(News::Trouble { attempts: told, .. }) if told == attempts));
        }
        let answer = |value: Option<&str>| {
            let value = value.map(|value| Arc::from(value.as_bytes()));
            Some(News::Answer(Query::key("a/b").unwrap(), Answer::Key(value)))
        };
        fs::create_dir(&root).unwrap();
        assert_eq!(news.recv().await, answer(None));
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/b"), "1\n").unwrap();
        assert_eq!(news.recv().await, answer(Some("1\n")));
        fs::write(root.join("a/b"), "").unwrap();
        assert_eq!(news.recv().await, answer(Some("")));
        fs::remove_file(root.join("a/b")).unwrap();
        assert_eq!(news.recv().await, answer(None));
        let waited = tokio::time::timeout(3 * POLL, news.recv()).await;
        assert!(waited.is_err(), "{waited:?}");
    }
}
