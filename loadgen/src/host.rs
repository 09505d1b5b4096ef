//! The machine, as a report names it. What can't be read is `unknown`, or absent.

use std::fs;
use std::thread;

use serde::Serialize;

/// What figures depend on.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let or_unknown = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
        Self {
            cpu: or_unknown(model.map_or("", |(_, model)| model.trim())),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: or_unknown(kernel.trim()),
        }
    }
}

/// Clock ticks per second in `/proc`: fixed by the kernel's interface (`USER_HZ`) on every common architecture.
const TICKS_PER_S: f64 = 100.0;

/// The processor time of this process so far, user and kernel, in seconds, to a hundredth. From `/proc/self/stat`, proc(5).
pub fn cpu_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(") ")?.1; // the name may have spaces
    let mut fields = after_name.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known() {
        let machine = Machine::here();
        assert!(0 < machine.cores && machine.kernel != "unknown", "{machine:?}");
        assert!(cpu_s().is_some());
    }
}
