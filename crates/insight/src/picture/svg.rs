//! A layout as text: SVG without scripts, fonts or anything else from elsewhere.

use std::fmt::Write;

use super::layout::{Look, Picture, Point, Shape};

/// Light, and dark where the reader's system is.
const STYLE: &str = "\
text{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,'Liberation Mono',monospace;white-space:pre}\
rect,circle,polyline{stroke-width:1.25}polyline{fill:none;stroke-linejoin:round}\
.paper{fill:#fff}.panel{fill:#f6f8fa;stroke:#d1d9e0}\
.plain{fill:#fff;stroke:#d1d9e0}.knock{fill:#ddf4ff;stroke:#0969da}.good{fill:#dafbe1;stroke:#1a7f37}\
.bad{fill:#ffebe9;stroke:#cf222e}.quiet{fill:#eef1f4;stroke:#818b98}.strong{fill:#59636e;stroke:#59636e}\
.empty{fill:none;stroke:#b7bfc8}.fullknock{fill:#0969da;stroke:#0969da}.fullgood{fill:#1a7f37;stroke:#1a7f37}\
polyline.plain,polyline.quiet{fill:none;stroke:#818b98}polyline.knock,polyline.good,polyline.bad{fill:none;stroke-width:1.75}\
polyline.bad{stroke-dasharray:5 4}\
text.plain{fill:#1f2328;stroke:none}text.strong{fill:#1f2328;stroke:none;font-weight:bold}\
text.quiet{fill:#59636e;stroke:none}text.knock,text.onknock{fill:#0550ae;stroke:none;font-weight:bold}\
text.good,text.ongood{fill:#116329;stroke:none;font-weight:bold}text.bad,text.onbad{fill:#a40e26;stroke:none;font-weight:bold}\
path.plain,path.quiet{fill:#818b98;stroke:none}path.knock{fill:#0969da;stroke:none}path.good{fill:#1a7f37;stroke:none}path.bad{fill:#cf222e;stroke:none}\
@media(prefers-color-scheme:dark){";

/// What differs in the dark.
const DARK: &str = "\
.paper{fill:#0d1117}.panel{fill:#151b23;stroke:#3d444d}\
.plain{fill:#0d1117;stroke:#3d444d}.knock{fill:#0c2d5a;stroke:#4493f8}.good{fill:#0f2e1a;stroke:#3fb950}\
.bad{fill:#3a1618;stroke:#f85149}.quiet{fill:#212830;stroke:#656c76}.strong{fill:#9198a1;stroke:#9198a1}\
.empty{fill:none;stroke:#4a525c}.fullknock{fill:#4493f8;stroke:#4493f8}.fullgood{fill:#3fb950;stroke:#3fb950}\
polyline.plain,polyline.quiet{fill:none;stroke:#656c76}polyline.knock,polyline.good,polyline.bad{fill:none}\
text.plain,text.strong{fill:#f0f6fc}text.quiet{fill:#9198a1}text.knock,text.onknock{fill:#79c0ff}\
text.good,text.ongood{fill:#56d364}text.bad,text.onbad{fill:#ff7b72}\
path.plain,path.quiet{fill:#656c76}path.knock{fill:#4493f8}path.good{fill:#3fb950}path.bad{fill:#f85149}";

/// Writes a picture as an SVG document.
pub fn write(picture: &Picture) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = document(&mut out, picture);
    out
}

fn document(out: &mut String, picture: &Picture) -> std::fmt::Result {
    let (width, height) = (Length(picture.width), Length(picture.height));
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title desc">"#
    )?;
    writeln!(out, r#"<title id="title">{}</title>"#, escape(&picture.title))?;
    writeln!(out, r#"<desc id="desc">{}</desc>"#, escape(&picture.description))?;
    writeln!(out, "<style>{STYLE}{DARK}}}</style>")?;
    for shape in &picture.shapes {
        self::shape(out, shape)?;
    }
    writeln!(out, "</svg>")
}

fn shape(out: &mut String, shape: &Shape) -> std::fmt::Result {
    match shape {
        Shape::Box { area, look } => {
            let round = if *look == Look::Paper { 0.0 } else { (area.height / 4.0).min(8.0) };
            writeln!(
                out,
                r#"<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="{}"/>"#,
                class(*look),
                Length(area.x),
                Length(area.y),
                Length(area.width),
                Length(area.height),
                Length(round)
            )
        }
        Shape::Dot { at, radius, look } => writeln!(
            out,
            r#"<circle class="{}" cx="{}" cy="{}" r="{}"/>"#,
            class(*look),
            Length(at.x),
            Length(at.y),
            Length(*radius)
        ),
        Shape::Line { points, look, arrow } => {
            let all: Vec<String> =
                points.iter().map(|p| format!("{},{}", Length(p.x), Length(p.y))).collect();
            writeln!(out, r#"<polyline class="{}" points="{}"/>"#, class(*look), all.join(" "))?;
            match points.as_slice() {
                [.., from, to] if *arrow => head(out, *from, *to, *look),
                _ => Ok(()),
            }
        }
        Shape::Text(text) => writeln!(
            out,
            r#"<text class="{}" x="{}" y="{}" font-size="{}">{}</text>"#,
            class(text.look),
            Length(text.at.x),
            Length(text.at.y),
            Length(text.size),
            escape(&text.text)
        ),
    }
}

/// The head of an arrow. A path of its own, since not everything that shows SVG knows markers.
fn head(out: &mut String, from: Point, to: Point, look: Look) -> std::fmt::Result {
    const LENGTH: f64 = 7.0;
    const HALF: f64 = 4.0;
    let (dx, dy) = (sign(to.x - from.x), sign(to.y - from.y));
    let (x, y) = (to.x - dx * LENGTH, to.y - dy * LENGTH);
    let corner = |side: f64| (Length(x + dy * HALF * side), Length(y + dx * HALF * side));
    let ((ax, ay), (bx, by)) = (corner(1.0), corner(-1.0));
    writeln!(
        out,
        r#"<path class="{}" d="M{},{}L{ax},{ay}L{bx},{by}Z"/>"#,
        class(look),
        Length(to.x),
        Length(to.y)
    )
}

fn sign(length: f64) -> f64 {
    if length.abs() < 0.05 { 0.0 } else { length.signum() }
}

const fn class(look: Look) -> &'static str {
    match look {
        Look::Paper => "paper",
        Look::Panel => "panel",
        Look::Plain => "plain",
        Look::Strong => "strong",
        Look::Quiet => "quiet",
        Look::Knock => "knock",
        Look::Good => "good",
        Look::Bad => "bad",
        Look::OnKnock => "onknock",
        Look::OnGood => "ongood",
        Look::OnBad => "onbad",
        Look::FullKnock => "fullknock",
        Look::FullGood => "fullgood",
        Look::Empty => "empty",
    }
}

/// A length with at most one digit behind the point.
struct Length(f64);

impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenths = (self.0 * 10.0).round();
        // No minus before a zero.
        write!(f, "{}", if tenths == 0.0 { 0.0 } else { tenths / 10.0 })
    }
}

/// Text as it may stand between tags or in an attribute. What XML does not allow at all becomes `?`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push(' '),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
