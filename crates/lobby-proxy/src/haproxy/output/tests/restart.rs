//! A task that starts again without a socket: what it remembers decides whether the command is run.
//!
//! Not here: restarts with a socket (`tests`).

use super::*;

#[tokio::test]
async fn without_the_socket_a_restart_of_the_task_reloads_nothing_if_it_is_remembered_somewhere() {
    let state_file = |folder: &Path, haproxy: &mut Haproxy| haproxy.state_file_path = Some(folder.join("state.json"));
    let own_folder = |folder: &Path, haproxy: &mut Haproxy| haproxy.memory_folder = Some(folder.join("to/be/made"));
    restart_reloads_nothing(state_file).await;
    restart_reloads_nothing(own_folder).await;
}

async fn restart_reloads_nothing(remember: impl FnOnce(&Path, &mut Haproxy)) {
    let mut run = Run::new(|folder, haproxy| {
        haproxy.do_socket = false;
        remember(folder, haproxy);
    });
    run.show(&["1"], Some(&[]));
    run.until(|status| status.is_in_step && status.reloads == 1).await;
    run.stop().await;
    run.start();
    run.until(|status| status.is_in_step).await;
    assert_eq!((run.n_reloads(), run.stats.status().writes), (1, 0));
    run.stop().await;
    // Killed between the file and the reload.
    fs::write(run.folder.path().join("haproxy.cfg"), run.text().replace("server 1 1", "server 2 2")).unwrap();
    run.show(&["2"], Some(&[]));
    run.start();
    run.until(|status| status.is_in_step && status.reloads == 1).await;
    assert_eq!((run.n_reloads(), run.stats.status().writes), (2, 0));
    run.stop().await;
}

#[tokio::test]
async fn with_other_settings_the_next_reload_is_as_far_away_as_with_the_same() {
    let mut run = Run::new(|_, haproxy| haproxy.restart_interval = 3 * REPAIR);
    run.show(&["1"], Some(&[]));
    run.until(|status| status.is_in_step && status.reloads == 1).await;
    let reloaded = Instant::now();
    run.stop().await;
    run.settings.haproxy.as_mut().unwrap().global.push("another".into());
    run.start();
    run.until(|status| status.reload_due.len() == 1).await;
    assert_eq!(run.n_reloads(), 1);
    run.until(|status| status.is_in_step && status.reloads == 1).await;
    assert!(reloaded.elapsed() >= 2 * REPAIR, "{:?}", reloaded.elapsed());
    run.stop().await;
}
