//! One source of several, by the kind of question.

use tokio::sync::mpsc;

use super::{Consul, Files, Folder, News, Source, Transport};
use crate::Query;

/// Keys from a folder if there is one, files from here, all else from an agent.
#[derive(Debug)]
pub struct Sources<T> {
    /// What stands in for the key-value store; None: the agent's.
    pub keys: Option<Folder>,
    /// What `file` reads.
    pub files: Files,
    /// The agent.
    pub main: Consul<T>,
}

impl<T: Transport> Source for Sources<T> {
    async fn watch(&self, query: Query, news: mpsc::Sender<News>) {
        match (&query, &self.keys) {
            (Query::File(_), _) => self.files.watch(query, news).await,
            (Query::Key { .. } | Query::Keys { .. }, Some(folder)) => folder.watch(query, news).await,
            _ => self.main.watch(query, news).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::source::{Options, Reply, TransportError};

    /// Knows one key.
    struct Agent;

    impl Transport for Agent {
        async fn get(&self, _: &str, _: Duration) -> Result<Reply, TransportError> {
            let body = br#"[{"Key":"a","Value":"YWdlbnQ="}]"#.to_vec();
            Ok(Reply { status: 200, index: Some(1), body, ..Reply::default() })
        }
    }

    async fn first(keys: Option<Folder>, query: Query) -> crate::Answer {
        let sources = Sources { keys, files: Files, main: Consul::new(Agent, Options::default()) };
        let (sender, mut news) = mpsc::channel(1);
        tokio::select! {
            () = sources.watch(query, sender) => panic!("it ended"),
            news = news.recv() => match news {
                Some(News::Answer(_, answer)) => answer,
                other => panic!("{other:?}"),
            },
        }
    }

    #[tokio::test]
    async fn each_kind_of_question_goes_where_it_belongs() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "folder").unwrap();
        let (keys, key) = (Folder::new(folder.path()), || Query::key("a").unwrap());
        let value = |text: &str| crate::Answer::Key(Some(text.as_bytes().into()));
        assert_eq!(first(Some(keys.clone()), key()).await, value("folder"));
        assert_eq!(first(None, key()).await, value("agent"));
        let file = Query::File(folder.path().join("a"));
        assert_eq!(first(None, file).await, crate::Answer::File(b"folder".as_slice().into()));
        let crate::Answer::Keys(pairs) = first(Some(keys), Query::keys("").unwrap()).await else { panic!("no keys") };
        assert_eq!(pairs.len(), 1);
    }
}
