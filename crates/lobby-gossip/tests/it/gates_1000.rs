//! The gates in a large cluster, one seed: N = 300 in the normal run, `LOBBY_SIM_N` for any other size.
//!
//! `LOBBY_SIM_N=1000 cargo test -p lobby-gossip --test it gates_1000 -- --nocapture` is the run of the study: some minutes
//! of CPU and 5 GB. N = 3000: the same with `--release` and `--test-threads 1`, a quarter of an hour and 15 GB.
//! One cluster serves several gates, the harmless ones first: making it costs more than most of them.

use crate::{
    gates::{
        come_and_go::{fresh_node, goodbyes, judge_goodbyes},
        halves::cut_and_heal,
        silence::deaths,
        spread::{Spread, changes, large_change},
        steady::{Harm, deaf, harm, idle},
    },
    seeds::{for_each_seed, number},
    sim::{MS, SEC, Sim},
};

fn n() -> usize {
    number("LOBBY_SIM_N").unwrap_or(300) as usize
}

/// Gates 2, 7, 8, 9, 10 and 1.
#[test]
fn a_large_cluster_is_idle_quick_and_notices_deaths() {
    for_each_seed(1, |seed| {
        let n = n();
        let mut sim = Sim::formed_beside(n, 1, seed, false);
        let (packets, bytes) = idle(&mut sim, 20);
        // The seal is left out here and costs 42 bytes a packet. The sums that members compare grow a little with the cluster.
        let sealed = bytes + 42.0 * packets;
        println!("gate 2: N={n} seed={seed}: {packets:.2} packets/s, {bytes:.0} B/s, sealed {sealed:.0} B/s");
        assert!(packets <= 5.0 && sealed <= 650.0, "{packets} packets/s, {sealed} B/s");
        let (knows, known) = fresh_node(&mut sim);
        println!("gate 9: N={n} seed={seed}: knows all after {knows:?}, known by all after {known:?}");
        assert!(knows <= SEC && known <= SEC, "{knows:?} {known:?}");
        // With 20 % loss the rumours of a thousand suspicions keep every queue full, and the simulator busy.
        for (loss, n_changes) in [(0.05, 10), (0.2, 3)] {
            let Spread { t99, t100, n_late } = changes(&mut sim, loss, n_changes);
            println!("gate 7: N={n} loss={loss} seed={seed}: 99 % {t99}; 100 % {t100}; {n_late} after 500 ms");
            assert!(t100.worst() <= 46 * SEC, "somebody never heard of a change");
            assert!(loss > 0.05 || t99.mean() <= 60 * MS, "99 %: {t99}");
        }
        let (t99, t100, served) = large_change(&mut sim);
        println!("gate 8: N={n} seed={seed}: 99 % {t99:?}; 100 % {t100:?}; {served} pulls at the origin");
        assert!(t99 <= 300 * MS && served <= 10, "99 %: {t99:?}, {served} pulls");
        judge_goodbyes(n, seed, goodbyes(&mut sim, 3));
        for (loss, kills) in [(0.0, 10), (0.05, 5)] {
            let (t99, t100) = deaths(&mut sim, loss, kills);
            println!("gate 1: N={n} loss={loss} seed={seed}: 99 % {t99}; 100 % {t100}");
            assert!(t99.mean() <= 4500 * MS && t99.worst() <= 7 * SEC, "99 %: {t99}");
            assert!(t100.worst() <= 20 * SEC, "100 %: {t100}");
        }
    });
}

/// Gate 5.
#[test]
fn a_large_cluster_is_steady() {
    for_each_seed(1, |seed| {
        let n = n();
        let harm = harm(&mut Sim::formed(n, seed, false), 0.05, 60, 0.05);
        println!("gate 5: N={n} seed={seed}: {harm:?}");
        assert_eq!(harm, Harm { victims: 0, rejoins: 0 });
    });
}

/// Gates 6 and 11.
#[test]
fn a_large_cluster_heals() {
    for_each_seed(1, |seed| {
        let mut sim = Sim::formed(n(), seed, false);
        deaf(&mut sim);
        let healed = cut_and_heal(&mut sim);
        assert!(healed <= 30 * SEC, "{healed:?}");
    });
}
