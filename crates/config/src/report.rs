//! What was found in a configuration, where, and how it is shown.

use std::fmt::{self, Write as _};

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use portcullis_core::policy::Severity;
use portcullis_core::text::{is_armed, plain};

/// Bytes of the text, from and up to.
pub type Span = std::ops::Range<usize>;

/// Findings that are shown in full. Whoever has more fixes these first.
pub const MAX_SHOWN: usize = 50;

/// Two places at most so many lines apart are shown in one excerpt.
const NEAR: usize = 100;

/// No line that a person wrote is longer; such a line is named, but not shown.
const MAX_LINE: usize = 64 << 10;

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it forbids the configuration.
    pub severity: Severity,
    /// A short name that stays the same for ever.
    pub code: &'static str,
    /// What, as one sentence without a period.
    pub message: String,
    /// Where; `None` if it is about the file and not its text.
    pub span: Option<Span>,
    /// Another place that it has to do with, and in which way.
    pub related: Option<Box<(Span, &'static str)>>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// With advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With another place.
    #[must_use]
    pub fn related(mut self, span: Span, label: &'static str) -> Self {
        self.related = Some(Box::new((span, label)));
        self
    }
}

/// The text of bytes that need not be UTF-8: each byte that is none of a character is a `?`, so that all that
/// follows stays where it was.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(std::iter::repeat_n('?', chunk.invalid().len()));
    }
    text
}

/// An error in the text, without advice.
pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code,
        message: message.into(),
        span: Some(span),
        related: None,
        hint: None,
    }
}

/// All that was found in one configuration, in the order of the text.
///
/// What the file holds may be hostile, so none of its bytes reaches the terminal unless it is plain
/// text: neither from the lines that are quoted nor from the messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    path: String,
    /// The text, without what a terminal would act upon; each byte is where it was.
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    found: Vec<Diagnostic>,
}

impl Report {
    /// What was found in this text; `path` is what it is called.
    pub fn new(path: &str, text: &str, found: Vec<Diagnostic>) -> Self {
        let newlines = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let lines =
            std::iter::once(0).chain(newlines.map(|(at, _)| at.saturating_add(1))).collect();
        let mut report = Self { path: plain(path), text: disarm(text), lines, found: Vec::new() };
        report.extend(found);
        report
    }

    /// What was found in bytes that need not be UTF-8. What is none of a character counts as one,
    /// and is shown as `?`.
    pub fn of_bytes(path: &str, bytes: &[u8], found: Vec<Diagnostic>) -> Self {
        Self::new(path, &text_of(bytes), found)
    }

    /// Adds what was found elsewhere.
    pub fn extend(&mut self, found: Vec<Diagnostic>) {
        self.found.extend(found);
        // What is missing at the end is missed on the last line, not on an empty one below it.
        let text = self.text.strip_suffix('\n').unwrap_or(&self.text);
        let end = text.strip_suffix('\r').unwrap_or(text).len();
        for diagnostic in &mut self.found {
            if let Some(span) = &mut diagnostic.span {
                *span = span.start.min(end)..span.end.max(span.start.min(end));
            }
            diagnostic.message = plain(&diagnostic.message);
            diagnostic.hint = diagnostic.hint.as_deref().map(plain);
        }
        self.found.sort_by_key(|found| found.span.as_ref().map(|span| (span.start, span.end)));
        self.found.dedup();
    }

    /// The same text with nothing found in it but this.
    #[must_use]
    pub fn with_only(mut self, found: Diagnostic) -> Self {
        self.found.clear();
        self.extend(vec![found]);
        self
    }

    /// What the configuration is called.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Everything, in the order of the text.
    pub fn findings(&self) -> &[Diagnostic] {
        &self.found
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.found.iter().filter(|found| found.severity == severity).count()
    }

    /// Line and column of a byte, both from 1. Columns count characters.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let line = self.line(at);
        let start = self.start_of(line);
        let before = self.text.get(start..at.min(self.text.len())).unwrap_or("");
        (line, before.chars().count().saturating_add(1))
    }

    /// The report as a person reads it, ending with a newline; empty if nothing was found.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        // Errors must not be hidden behind warnings.
        let errors_first = self.errors() > MAX_SHOWN;
        let shown =
            self.found.iter().filter(|found| !errors_first || found.severity == Severity::Error);
        for found in shown.take(MAX_SHOWN) {
            out.push_str(&renderer.render(&[self.group(found)]));
            out.push_str("\n\n");
        }
        let more = self.found.len().saturating_sub(MAX_SHOWN);
        if more > 0 {
            let _ = writeln!(out, "and {more} more\n");
        }
        out
    }

    fn group<'a>(&'a self, found: &'a Diagnostic) -> Group<'a> {
        let level = match found.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&found.message).id(found.code);
        let group = match &found.span {
            Some(span) => {
                let here = self.line(span.start);
                if self.start_of(here.saturating_add(1)).saturating_sub(self.start_of(here))
                    > MAX_LINE
                {
                    let (line, column) = self.position(span.start);
                    let origin = Origin::path(&self.path).line(line).char_column(column);
                    return advised(title.element(origin), found);
                }
                let primary = |from| AnnotationKind::Primary.span(self.visible(span, from));
                match found.related.as_deref() {
                    None => title.element(self.snippet(here, here, |from| vec![primary(from)])),
                    Some((related, label)) => {
                        let there = self.line(related.start);
                        let other = |from| {
                            AnnotationKind::Context.span(self.visible(related, from)).label(*label)
                        };
                        if here.abs_diff(there) <= NEAR {
                            let both = |from| vec![primary(from), other(from)];
                            title.element(self.snippet(here.min(there), here.max(there), both))
                        } else {
                            title
                                .element(self.snippet(here, here, |from| vec![primary(from)]))
                                .element(self.snippet(there, there, |from| vec![other(from)]))
                        }
                    }
                }
            }
            None => title.element(Origin::path(&self.path)),
        };
        advised(group, found)
    }

    /// The lines from one to another, and what to mark in them, given where they begin. The
    /// renderer looks at all the text it is given, so it is given no more than it needs.
    fn snippet<'a>(
        &'a self,
        first: usize,
        last: usize,
        annotations: impl FnOnce(usize) -> Vec<Annotation<'a>>,
    ) -> Snippet<'a, Annotation<'a>> {
        let from = self.start_of(first);
        let to = self.start_of(last.saturating_add(1));
        let text = self.text.get(from..to).unwrap_or("");
        let snippet = Snippet::source(text).line_start(first).path(&self.path);
        snippet.annotations(annotations(from))
    }

    /// The number of the line of a byte, from 1.
    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at)
    }

    /// Where a line begins; the end of the text if there is none.
    fn start_of(&self, line: usize) -> usize {
        self.lines.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len())
    }

    /// The part of a span on its first line, counted from a line start: an array over many lines is
    /// pointed at by its beginning.
    fn visible(&self, span: &Span, from: usize) -> Span {
        // The renderer insists on whole characters.
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start = start.saturating_sub(1);
        }
        let end = span.end.min(self.text.len()).max(start);
        let first_line = self.text.get(start..end).and_then(|text| text.lines().next());
        let length = first_line.unwrap_or("").len();
        let start = start.saturating_sub(from);
        start..start.saturating_add(length)
    }
}

/// With the advice at its end.
fn advised<'a>(group: Group<'a>, found: &'a Diagnostic) -> Group<'a> {
    match &found.hint {
        Some(hint) => group.element(Level::HELP.with_name("hint").message(hint)),
        None => group,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Report {}

/// The text with harmless characters, of the same length in bytes, for those that are not.
fn disarm(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            // The renderer shows these; the other ASCII ones have a picture.
            '\n' | '\r' | '\t' => c,
            c if !is_armed(c) => c,
            c => match c.len_utf8() {
                1 => '?',
                2 => '¿',
                3 => '\u{fffd}',
                _ => '\u{1f6ab}',
            },
        })
        .collect()
}
