//! The changelog, in the form of <https://keepachangelog.com>.

/// A heading of the second level, and what stands below it.
struct Entry<'a> {
    /// `Unreleased`, or a version.
    name: &'a str,
    /// What follows the name, as ` - 2026-11-28`.
    rest: &'a str,
    /// Whether anything is listed.
    lists: bool,
}

/// What keeps this changelog from describing that version.
pub fn problems(text: &str, version: &str) -> Vec<String> {
    let entries = entries(text);
    let mut problems = Vec::new();
    let mut add = |problem: String| problems.push(format!("CHANGELOG.md: {problem}"));
    match entries.iter().find(|entry| entry.name == "Unreleased") {
        None => add("no heading `## [Unreleased]`: write an empty one for the next release".into()),
        Some(entry) if entry.lists => {
            add(format!(
                "changes under [Unreleased]: move them below `## [{version}] - YYYY-MM-DD`"
            ));
        }
        Some(_) => {}
    }
    let versions: Vec<_> = entries.iter().filter(|entry| entry.name != "Unreleased").collect();
    match versions.iter().position(|entry| entry.name == version) {
        None => add(format!("no heading `## [{version}] - YYYY-MM-DD`")),
        Some(0) => {}
        Some(_) => {
            let newest = versions.first().map_or("", |entry| entry.name);
            add(format!("[{newest}] stands above [{version}]: the newest version comes first"));
        }
    }
    for entry in versions {
        if !entry.rest.strip_prefix(" - ").is_some_and(is_date) {
            add(format!("[{}] has no date: write ` - YYYY-MM-DD` behind it", entry.name));
        }
        if !entry.lists {
            add(format!("[{}] lists nothing", entry.name));
        }
    }
    problems
}

fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## [") {
            let (name, rest) = heading.split_once(']').unwrap_or((heading, ""));
            entries.push(Entry { name, rest: rest.trim_end(), lists: false });
        } else if line.starts_with("- ")
            && let Some(entry) = entries.last_mut()
        {
            entry.lists = true;
        }
    }
    entries
}

fn is_date(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let sizes: Vec<_> = parts.iter().map(|part| part.len()).collect();
    let in_range = |part: &str, last: u32| part.parse().is_ok_and(|n: u32| (1..=last).contains(&n));
    sizes == [4, 2, 2]
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        && in_range(parts[1], 12)
        && in_range(parts[2], 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2027-01-31\n\n### Added\n\n\
                        - A thing.\n\n## [0.1.0] - 2026-12-01\n\n- The first.\n";

    #[test]
    fn a_good_changelog_has_no_problems() {
        assert_eq!(problems(GOOD, "0.2.0"), [""; 0]);
    }

    #[test]
    fn each_fault_is_named() {
        let cases = [
            (GOOD.replace("## [Unreleased]\n", ""), "0.2.0", "no heading `## [Unreleased]`"),
            (GOOD.replace("[Unreleased]\n", "[Unreleased]\n\n- New."), "0.2.0", "changes under"),
            (GOOD.to_owned(), "0.3.0", "no heading `## [0.3.0]"),
            (GOOD.to_owned(), "0.1.0", "[0.2.0] stands above [0.1.0]"),
            (GOOD.replace(" - 2027-01-31", ""), "0.2.0", "[0.2.0] has no date"),
            (GOOD.replace("2027-01-31", "2027-13-31"), "0.2.0", "[0.2.0] has no date"),
            (GOOD.replace("2027-01-31", "31-01-2027"), "0.2.0", "[0.2.0] has no date"),
            (GOOD.replace("- A thing.", ""), "0.2.0", "[0.2.0] lists nothing"),
        ];
        for (text, version, says) in cases {
            let found = problems(&text, version);
            assert_eq!(found.len(), 1, "{says}: {found:?}");
            assert!(found[0].contains(says), "{says}: {found:?}");
        }
    }

    #[test]
    fn the_changelog_of_this_repository_has_the_right_form() {
        let text = crate::release::read("CHANGELOG.md").unwrap();
        // Between releases there are changes under [Unreleased], and this version has no heading yet.
        let wrong: Vec<_> = problems(&text, "next")
            .into_iter()
            .filter(|problem| !problem.contains("changes under") && !problem.contains("[next]"))
            .collect();
        assert_eq!(wrong, [""; 0]);
    }
}
