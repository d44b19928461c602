//! Line charts as SVG, written by hand: two charts are no reason for a plotting library.

mod axis;

use std::fmt::Write as _;

use self::axis::Axis;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 55.0;
/// Told apart in print, by the colour-blind, and on light and dark pages.
const COLOURS: [&str; 3] = ["#2a78b5", "#d9722b", "#6f9a37"];

/// A line of a chart.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What the horizontal axis counts.
    pub x_label: String,
    /// What the vertical axis counts.
    pub y_label: String,
    /// The lines.
    pub lines: Vec<Line>,
}

impl Chart {
    /// The chart as an SVG document.
    pub fn to_svg(&self) -> String {
        let points = || {
            self.lines
                .iter()
                .flat_map(|line| line.points.iter().copied())
        };
        let x = Axis::over(points().map(|(x, _)| x), LEFT, WIDTH - RIGHT);
        let y = Axis::over(points().map(|(_, y)| y), HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
        );
        text(&mut svg, (WIDTH / 2.0, 22.0), "middle", &self.title);
        text(
            &mut svg,
            (WIDTH / 2.0, HEIGHT - 12.0),
            "middle",
            &self.x_label,
        );
        text(&mut svg, (8.0, TOP - 12.0), "start", &self.y_label);
        for (value, label) in x.ticks() {
            let at = x.place(value);
            line(&mut svg, (at, TOP), (at, HEIGHT - BOTTOM));
            text(&mut svg, (at, HEIGHT - BOTTOM + 18.0), "middle", &label);
        }
        for (value, label) in y.ticks() {
            let at = y.place(value);
            line(&mut svg, (LEFT, at), (WIDTH - RIGHT, at));
            text(&mut svg, (LEFT - 8.0, at + 4.0), "end", &label);
        }
        for ((number, drawn), colour) in self.lines.iter().enumerate().zip(COLOURS) {
            drawn.draw(&mut svg, colour, &x, &y);
            let below = 16.0 * f64::from(u8::try_from(number).unwrap_or(0));
            let legend = format!("<tspan fill=\"{colour}\">● </tspan>{}", drawn.name);
            text(
                &mut svg,
                (LEFT + 12.0, TOP + 18.0 + below),
                "start",
                &legend,
            );
        }
        svg + "</svg>\n"
    }
}

impl Line {
    fn draw(&self, svg: &mut String, colour: &str, x: &Axis, y: &Axis) {
        let points = self.points.iter();
        let places = points.map(|(left, up)| (x.place(*left), y.place(*up)));
        let path: Vec<String> = places
            .clone()
            .map(|(left, down)| format!("{left:.1},{down:.1}"))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (left, down) in places {
            let _ = writeln!(
                svg,
                "<circle cx=\"{left:.1}\" cy=\"{down:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
            );
        }
    }
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#dddddd\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#333333\">{text}</text>",
        at.0, at.1
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_and_name_is_drawn() {
        let svg = Chart {
            title: "rate".to_owned(),
            x_label: "dispatchers".to_owned(),
            y_label: "deliveries/s".to_owned(),
            lines: vec![Line {
                name: "all together".to_owned(),
                points: vec![(1.0, 900.0), (2.0, 1_700.0), (8.0, 1_800.0)],
            }],
        }
        .to_svg();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("all together") && svg.contains(">2000<"));
        assert!(svg.ends_with("</svg>\n"));
    }
}
