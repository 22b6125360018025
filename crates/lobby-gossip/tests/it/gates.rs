//! The gates of the gossip study at N = 50 and 200, with the study's thresholds. Each prints what it measured
//! (`cargo test -p lobby-gossip --test it gate -- --nocapture`).
//!
//! Gates 1 and 11b: `silence`. 2 to 6: `steady`. 7 and 8: `spread`. 9, 10 and 12: `come_and_go`. 11: `halves`.
//! The same functions run at N = 1000 in `gates_1000`. Gates 13 and 14 are a bench and a test of real processes.

pub(crate) mod come_and_go;
pub(crate) mod halves;
pub(crate) mod silence;
pub(crate) mod spread;
pub(crate) mod steady;
