//! The names of our gossip keys: our record tells them, so that nobody puts a key to use that we do not have.

use lobby_core::port::gossip::Fingerprint;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::node::Update;

/// Tells the node task of every change until `stop`.
pub(crate) async fn follow(mut keys: watch::Receiver<Vec<Fingerprint>>, updates: mpsc::Sender<Update>, stop: CancellationToken) {
    let work = async {
        loop {
            let now = keys.borrow_and_update().clone();
            // Without keys there is nothing to tell, and an empty list would be one more change of the record.
            if !now.is_empty() && updates.send(Update::Keys(now)).await.is_err() {
                return;
            }
            if keys.changed().await.is_err() {
                // Gossip has ended, and what it told stays true until the agent ends too.
                std::future::pending::<()>().await;
            }
        }
    };
    stop.run_until_cancelled(work).await;
}
