//! Links between the documents of the repository.

use std::fs;
use std::path::{Path, PathBuf};

use super::Found;

/// Links to files that are not there, and to headings that are not there.
pub fn broken_links(root: &Path) -> Found {
    let mut broken = Vec::new();
    for folder in [root.to_path_buf(), root.join("docs"), root.join("fuzz")] {
        let entries =
            fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
            .collect();
        paths.sort();
        for path in paths {
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            let name = path.strip_prefix(root).unwrap_or(&path).display();
            for link in links(&text) {
                if !leads_somewhere(&path, &text, link) {
                    broken.push(format!("{name}: `{link}` leads nowhere"));
                }
            }
        }
    }
    Ok(broken)
}

/// The targets of `[text](target)` outside of blocks of code.
fn links(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut links = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            links.extend(targets);
        }
    }
    links
}

fn leads_somewhere(from: &Path, text: &str, link: &str) -> bool {
    if link.contains("://") || link.starts_with("mailto:") {
        return true;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = from.parent().unwrap_or(from).join(file);
    let other = match file {
        "" => Some(text.to_owned()),
        _ if anchor.is_empty() => return target.exists(),
        _ => fs::read_to_string(target).ok(),
    };
    other.is_some_and(|text| anchors(&text).any(|known| known == anchor))
}

/// The anchors that a page gives its headings: lower case, hyphens for spaces, no punctuation.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_text_are_found_and_code_is_left_alone() {
        let text = "see [a](a.md) and [b](#b-c)\n```\n[no](no.md)\n```\n![p](docs/p.svg)\n";
        assert_eq!(links(text), ["a.md", "#b-c", "docs/p.svg"]);
    }

    #[test]
    fn an_anchor_is_made_of_its_heading() {
        let text = "# Known issues\n\n## iptables and ipset: `closed`, and more\n";
        let anchors: Vec<_> = anchors(text).collect();
        assert_eq!(anchors, ["known-issues", "iptables-and-ipset-closed-and-more"]);
        let here = Path::new("page.md");
        assert!(leads_somewhere(here, text, "#known-issues"));
        assert!(!leads_somewhere(here, text, "#unknown-issues"));
        assert!(!leads_somewhere(here, text, "no-such-file.md"));
        assert!(leads_somewhere(here, text, "https://example.org/x#y"));
    }

    #[test]
    fn no_link_of_this_repository_is_broken() {
        assert_eq!(broken_links(&crate::run::root()).unwrap(), [""; 0]);
    }
}
