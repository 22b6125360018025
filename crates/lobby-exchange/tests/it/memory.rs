//! The memory exchange under the contract, and its partitions.

use lobby_core::catalog::Liveness;
use lobby_exchange::{Exchange, memory::Hub};

use crate::contract::{self, Backend};

struct Memory(Hub);

impl Backend for Memory {
    fn exchange(&self) -> impl Exchange {
        self.0.join()
    }

    fn liveness(&self) -> Liveness {
        Liveness::Reported
    }

    fn take_down(&mut self) {
        self.0.set_up(false);
    }

    fn bring_back(&mut self) {
        self.0.set_up(true);
    }
}

contract::contract!(Memory(Hub::new()));

#[tokio::test]
async fn parts_do_not_see_each_other_until_they_are_joined() {
    let backend = Memory(Hub::new());
    let (a, b, c) = (backend.node("a"), backend.node("b"), backend.node("c"));
    a.sees(&["a", "b", "c"]).await;
    backend.0.split([(c.id, 1)]);
    a.sees(&["a", "b"]).await;
    c.sees(&["c"]).await;
    backend.0.split([]);
    for node in [&a, &b, &c] {
        node.sees(&["a", "b", "c"]).await;
    }
}
