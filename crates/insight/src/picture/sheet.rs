//! A layout that grows downwards.

use super::layout::{Area, Look, Picture, Point, Shape, Text};
use super::text::{self, plain, wrap};

/// Between the edge of the picture and everything on it.
pub(super) const MARGIN: f64 = 24.0;
/// Between the edge of a panel and everything in it.
pub(super) const PADDING: f64 = 20.0;
/// The size of a heading, of usual text, and of what is beside the point.
pub(super) const HEADING: f64 = 15.0;
pub(super) const USUAL: f64 = 12.5;
pub(super) const SMALL: f64 = 11.0;

/// From one line of text to the next.
pub(super) fn leading(size: f64) -> f64 {
    (size * 1.4).round()
}

/// A picture that is being drawn.
#[derive(Debug)]
pub(super) struct Sheet {
    shapes: Vec<Shape>,
    width: f64,
}

impl Sheet {
    /// An empty one, so wide.
    pub(super) fn new(width: f64) -> Self {
        Self { shapes: Vec::new(), width }
    }

    /// Everything that has been drawn, on paper that ends at `bottom`.
    pub(super) fn finish(self, title: String, description: String, bottom: f64) -> Picture {
        let (width, height) = (self.width, bottom.ceil());
        let paper = Shape::Box { area: Area { x: 0.0, y: 0.0, width, height }, look: Look::Paper };
        let mut shapes = vec![paper];
        shapes.extend(self.shapes);
        Picture { title: plain(&title), description: plain(&description), width, height, shapes }
    }

    /// A place for what is known only later, but lies behind what is drawn next: a panel.
    pub(super) fn behind(&mut self) -> usize {
        self.shapes.len()
    }

    /// Puts a box behind everything that was drawn since.
    pub(super) fn put_behind(&mut self, place: usize, area: Area, look: Look) {
        self.shapes.insert(place.min(self.shapes.len()), Shape::Box { area, look });
    }

    /// Puts a line behind everything that was drawn since.
    pub(super) fn line_behind(&mut self, place: usize, points: &[(f64, f64)], look: Look) {
        self.line(points, look, false);
        if let Some(line) = self.shapes.pop() {
            self.shapes.insert(place.min(self.shapes.len()), line);
        }
    }

    pub(super) fn area(&mut self, area: Area, look: Look) {
        self.shapes.push(Shape::Box { area, look });
    }

    pub(super) fn dot(&mut self, x: f64, y: f64, radius: f64, look: Look) {
        self.shapes.push(Shape::Dot { at: Point { x, y }, radius, look });
    }

    pub(super) fn line(&mut self, points: &[(f64, f64)], look: Look, arrow: bool) {
        let points = points.iter().map(|&(x, y)| Point { x, y }).collect();
        self.shapes.push(Shape::Line { points, look, arrow });
    }

    /// One line of text, its base line at `y`.
    pub(super) fn text(&mut self, x: f64, y: f64, size: f64, look: Look, text: &str) {
        let text = plain(text);
        if !text.is_empty() {
            self.shapes.push(Shape::Text(Text { at: Point { x, y }, size, look, text }));
        }
    }

    /// One line of text around the middle `x`.
    pub(super) fn centred(&mut self, x: f64, y: f64, size: f64, look: Look, text: &str) {
        let half = text::width(&plain(text), size) / 2.0;
        self.text(x - half, y, size, look, text);
    }

    /// Text in as many lines as it needs, from `top` downwards. Returns where it ends.
    pub(super) fn wrapped(
        &mut self,
        at: (f64, f64),
        width: f64,
        font: (f64, Look),
        text: &str,
    ) -> f64 {
        let ((x, mut top), (size, look)) = (at, font);
        for line in wrap(&plain(text), text::room(width, size)) {
            self.text(x, top + size, size, look, &line);
            top += leading(size);
        }
        top
    }

    /// A panel around everything that `draw` draws, which is told where to begin and returns where it
    /// ended. Returns where the panel ends.
    pub(super) fn panel(&mut self, top: f64, draw: impl FnOnce(&mut Self, f64) -> f64) -> f64 {
        let place = self.behind();
        let bottom = draw(self, top + PADDING) + PADDING;
        let width = self.width - 2.0 * MARGIN;
        self.put_behind(
            place,
            Area { x: MARGIN, y: top, width, height: bottom - top },
            Look::Panel,
        );
        bottom
    }

    /// How wide it is.
    pub(super) const fn width(&self) -> f64 {
        self.width
    }
}
