//! What the kernel says about our process: memory and file descriptors. Left out where `/proc` does not tell.

use std::fs;

use super::text::{Kind::Gauge, Text};

pub(super) fn write(text: &mut Text) {
    if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().and_then(|status| resident_bytes(&status)) {
        text.family("lobby_process_resident_bytes", Gauge, "Resident memory of the process.").value(bytes);
    }
    if let Ok(fds) = fs::read_dir("/proc/self/fd") {
        text.family("lobby_process_open_fds", Gauge, "Open file descriptors of the process.").value(fds.count());
    }
}

/// The bytes of the line `VmRSS:   1234 kB`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::resident_bytes;

    #[test]
    fn resident_memory() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2 << 20));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }
}
