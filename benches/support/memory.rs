//! The memory of a process, as the kernel counts it.

/// Resident memory, in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    /// The most that it ever was, or was since [`forget_peak`].
    pub(crate) peak: f64,
}

/// The memory of a process (`self`, or its number); nothing when it has ended.
pub(crate) fn of(process: &str) -> Option<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
    };
    Some(Memory { now: field("VmRSS:")?, peak: field("VmHWM:")? })
}

/// Lets the peak of this process begin anew at what it has now.
pub(crate) fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("the kernel must let a process reset its own peak");
}
