//! Reads the memory limit of the process: that of its control group, which containers and systemd
//! set (cgroups(7), version 1 and 2).

use std::path::Path;

/// A number above this means "no limit" in version 1.
const LIMIT_MAX: u64 = 1 << 60;

/// The limit in bytes, if there is one.
pub fn limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_of(&groups, Path::new("/sys/fs/cgroup"))
}

/// The lowest limit of the groups and of their parents.
fn limit_of(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (mounted, file) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        // In a container the path may be that of the host, which does not exist here.
        let path = Path::new(path.trim_start_matches('/'));
        path.ancestors().filter_map(|group| read(&mounted.join(group).join(file))).min()
    });
    limits.min()
}

fn read(file: &Path) -> Option<u64> {
    let limit: u64 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (limit < LIMIT_MAX).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit_where(groups: &str, files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        limit_of(groups, root.path())
    }

    #[test]
    fn the_lowest_limit_on_the_way_up_holds() {
        let groups = "0::/system.slice/auditgate.service\n";
        let own = "system.slice/auditgate.service/memory.max";
        assert_eq!(limit_where(groups, &[(own, "1000\n")]), Some(1_000));
        let above = ("system.slice/memory.max", "500\n");
        assert_eq!(limit_where(groups, &[(own, "max\n"), above]), Some(500));
        assert_eq!(limit_where(groups, &[(own, "max\n")]), None);
        assert_eq!(limit_where(groups, &[]), None);
    }

    #[test]
    fn version_1_is_known_too() {
        let groups = "3:cpu,cpuacct:/a\n4:memory:/docker/abc\n0::/\n";
        let inside = [("memory/memory.limit_in_bytes", "2000\n")];
        assert_eq!(limit_where(groups, &inside), Some(2_000));
        let none = [("memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n")];
        assert_eq!(limit_where(groups, &none), None);
        assert_eq!(limit_where("", &inside), None);
    }
}
