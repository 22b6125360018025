//! The questions that are watched. Decides nothing: the runner says which; each has a task that ends when it is given up.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::source::News;
use crate::{Query, Source};

/// News that wait to be taken in: one for each question is on its way at most, and a source waits while there is no room.
pub(super) const QUEUE: usize = 256;

/// Questions under watch.
#[derive(Debug)]
pub(super) struct Watches {
    tasks: HashMap<Query, AbortHandle>,
    news: mpsc::Sender<News>,
}

impl Watches {
    pub(super) fn new() -> (Self, mpsc::Receiver<News>) {
        let (news, receiver) = mpsc::channel(QUEUE);
        (Self { tasks: HashMap::new(), news }, receiver)
    }

    /// Watches a question, if it is not watched yet.
    pub(super) fn add<S: Source>(&mut self, source: &Arc<S>, query: &Query) {
        if self.tasks.contains_key(query) {
            return;
        }
        tracing::debug!(%query, "asked");
        let (source, news, question) = (source.clone(), self.news.clone(), query.clone());
        let task = tokio::spawn(async move { source.watch(question, news).await });
        self.tasks.insert(query.clone(), task.abort_handle());
    }

    /// Gives up the others.
    pub(super) fn keep(&mut self, mut wanted: impl FnMut(&Query) -> bool) {
        self.tasks.retain(|query, task| {
            let is_wanted = wanted(query);
            if !is_wanted {
                tracing::debug!(%query, "not asked any more");
                task.abort();
            }
            is_wanted
        });
    }

    pub(super) fn has(&self, query: &Query) -> bool {
        self.tasks.contains_key(query)
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.keep(|_| false);
    }
}
