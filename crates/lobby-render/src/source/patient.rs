//! A source that never gives up: what has failed is asked again. Decides how soon. For programs that outlive their mistakes.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{News, Source};
use crate::Query;

/// Between a failure and the next attempt: somebody has to mend something first.
const PAUSE: Duration = Duration::from_secs(2);

/// The source within, asked again after each failure.
#[derive(Debug)]
pub struct Patient<S>(pub S);

impl<S: Source> Source for Patient<S> {
    async fn watch(&self, query: Query, news: mpsc::Sender<News>) {
        let mut failures = 0;
        while !news.is_closed() {
            let (sender, heard) = mpsc::channel(1);
            tokio::join!(self.0.watch(query.clone(), sender), pass_on(heard, &news, &mut failures));
            sleep(PAUSE).await;
        }
    }

    fn is_doubtful(&self) -> bool {
        self.0.is_doubtful()
    }
}

/// Ends with either side.
async fn pass_on(mut heard: mpsc::Receiver<News>, news: &mpsc::Sender<News>, failures: &mut u32) {
    while let Some(tidings) = heard.recv().await {
        let tidings = match tidings {
            News::Failed { query, message } => {
                *failures = failures.saturating_add(1);
                // Whoever logs it hears of it less and less often.
                if !failures.is_power_of_two() {
                    continue;
                }
                News::Trouble { query, message, attempts: *failures }
            }
            News::Answer(..) => {
                *failures = 0;
                tidings
            }
            News::Trouble { .. } => tidings,
        };
        if news.send(tidings).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Answer;
    use crate::source::Files;

    #[tokio::test(start_paused = true)]
    async fn a_file_that_was_not_there_is_told_once_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let (sender, mut news) = mpsc::channel(1);
        let query = Query::File(path.clone());
        let watch = tokio::spawn(async move { Patient(Files).watch(query, sender).await });
        for attempt in [1, 2, 4] {
            assert!(matches!(news.recv().await, Some(News::Trouble { attempts, .. }) if attempts == attempt));
        }
        std::fs::write(&path, "one").unwrap();
        assert_eq!(news.recv().await, Some(News::Answer(Query::File(path.clone()), Answer::File(b"one".as_slice().into()))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(news.recv().await, Some(News::Trouble { attempts: 1, .. })));
        drop(news);
        watch.await.unwrap();
    }
}
