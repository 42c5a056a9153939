//! What a picture is made of. Lengths are in pixels, from the upper left corner.

use super::text;

/// A picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Picture {
    /// One line: what it shows.
    pub title: String,
    /// All that it says, for who cannot see it.
    pub description: String,
    /// How wide it is.
    pub width: f64,
    /// How high it is.
    pub height: f64,
    /// What is on it, from the back to the front.
    pub shapes: Vec<Shape>,
}

/// Something at its place.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A box with round corners.
    Box {
        /// Where.
        area: Area,
        /// What kind of box.
        look: Look,
    },
    /// A circle.
    Dot {
        /// Its middle.
        at: Point,
        /// Its radius.
        radius: f64,
        /// What kind of circle.
        look: Look,
    },
    /// A line from point to point; each of its parts goes straight across or straight down.
    Line {
        /// At least two.
        points: Vec<Point>,
        /// What kind of line.
        look: Look,
        /// Whether its end is an arrow.
        arrow: bool,
    },
    /// One line of text.
    Text(Text),
}

/// One line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// Where its base line begins.
    pub at: Point,
    /// The size of its font.
    pub size: f64,
    /// What kind of text.
    pub look: Look,
    /// The text itself: [`text::plain`].
    pub text: String,
}

/// A place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Its left edge.
    pub x: f64,
    /// Its upper edge.
    pub y: f64,
    /// How wide it is.
    pub width: f64,
    /// How high it is.
    pub height: f64,
}

/// What something looks like: a class of the style sheet in [`svg`](super::svg).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The ground of the picture.
    Paper,
    /// A part of it.
    Panel,
    /// A plain box, line or text.
    Plain,
    /// The heading of a text.
    Strong,
    /// What need not be read at first sight.
    Quiet,
    /// A knock, and the way that knocks lead.
    Knock,
    /// What is open, or passes.
    Good,
    /// What is refused or lost.
    Bad,
    /// Text in a box of the look [`Look::Knock`].
    OnKnock,
    /// Text in a box of the look [`Look::Good`].
    OnGood,
    /// Text in a box of the look [`Look::Bad`].
    OnBad,
    /// A knock that has been made, a rule that matches, time that is left for a knock.
    FullKnock,
    /// Time that is left at an open door.
    FullGood,
    /// What is not there: an empty place.
    Empty,
}

impl Area {
    /// Whether the two have any place in common.
    pub fn meets(&self, other: &Self) -> bool {
        self.x < other.right()
            && other.x < self.right()
            && self.y < other.bottom()
            && other.y < self.bottom()
    }

    /// Whether all of the other one is in this one.
    pub fn holds(&self, other: &Self) -> bool {
        self.x <= other.x
            && self.y <= other.y
            && other.right() <= self.right()
            && other.bottom() <= self.bottom()
    }

    /// Its right edge.
    pub fn right(&self) -> f64 {
        self.x + self.width
    }

    /// Its lower edge.
    pub fn bottom(&self) -> f64 {
        self.y + self.height
    }
}

impl Text {
    /// The place that it takes, in any monospaced font.
    pub fn area(&self) -> Area {
        Area {
            x: self.at.x,
            y: self.at.y - self.size * 0.85,
            width: text::width(&self.text, self.size),
            height: self.size * 1.1,
        }
    }
}

impl Shape {
    /// The place that it takes.
    pub fn area(&self) -> Area {
        match self {
            Self::Box { area, .. } => *area,
            Self::Dot { at, radius, .. } => {
                let side = radius * 2.0;
                Area { x: at.x - radius, y: at.y - radius, width: side, height: side }
            }
            Self::Line { points, .. } => {
                let least = |f: fn(&Point) -> f64| points.iter().map(f).fold(f64::MAX, f64::min);
                let most = |f: fn(&Point) -> f64| points.iter().map(f).fold(0.0, f64::max);
                let (x, y) = (least(|p| p.x), least(|p| p.y));
                Area { x, y, width: most(|p| p.x) - x, height: most(|p| p.y) - y }
            }
            Self::Text(text) => text.area(),
        }
    }
}
