//! Orders while a run lasts. Decides which of them end it at once, and which are passed on to whoever works.

use tokio::sync::{mpsc, watch};

use super::Order;

/// Takes orders until one is to stop; passes all others on.
pub(super) async fn obey(orders: &mut mpsc::Receiver<Order>, signals: mpsc::Sender<i32>, finish: watch::Sender<bool>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Stop => return,
            Order::Finish => drop(finish.send_replace(true)),
            Order::Signal(number) => {
                if signals.try_send(number).is_err() {
                    tracing::warn!(number, "a signal for the program is dropped: others wait already");
                }
            }
        }
    }
}
