//! Bars over time, drawn as SVG: readable in light and dark, without colour, and without a script. The table beside it says the same in
//! words.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

/// The height of a drawing, and the room for labels at its left and below it.
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 44.0;
const BELOW: f64 = 24.0;
const ABOVE: f64 = 10.0;
/// The longest label below the bars.
const LABEL: f64 = 44.0;
/// A limit that is so many times as high as the highest bar is not drawn.
const FARTHEST: u64 = 3;
/// The stylesheet shows the one that fits.
const DRAWINGS: [Drawing; 2] =
    [Drawing { class: "broad", width: 720.0, labels: 11 }, Drawing { class: "slim", width: 300.0, labels: 4 }];

/// How bars are drawn.
struct Drawing {
    class: &'static str,
    width: f64,
    /// Below the bars at most.
    labels: usize,
}

/// The bars of one time after the other.
pub struct Plot<'a> {
    /// The id of its heading, and the prefix of ids in it.
    pub id: &'a str,
    /// What is counted.
    pub title: &'a str,
    /// What the lower and the upper part of each bar are.
    pub parts: [&'a str; 2],
    /// The bars, the oldest first.
    pub bars: &'a [Bar],
    /// How high they may be, where that is limited.
    pub limit: Option<u64>,
}

/// What was counted in one time.
pub struct Bar {
    /// Which time.
    pub label: String,
    /// The same, for the place below the bar.
    pub short: String,
    /// The lower and the upper part.
    pub parts: [u64; 2],
}

impl Plot<'_> {
    /// Its heading, the drawing and what the patterns mean.
    pub fn markup(&self) -> Markup {
        let id = self.id;
        let sum = |part: usize| self.bars.iter().map(|bar| bar.parts[part]).fold(0, u64::saturating_add);
        html! {
            figure.plot aria-labelledby=(id) {
                figcaption #(id) { (self.title) }
                @for drawing in DRAWINGS { (PreEscaped(self.drawing(&drawing))) }
                ul.legend {
                    @for (part, name) in self.parts.iter().enumerate() {
                        @let hatch = format!("{id}-legend");
                        li {
                            svg width="14" height="14" aria-hidden="true" {
                                @if part == 1 { (PreEscaped(pattern(&hatch))) }
                                rect class={ "part" (part) } width="14" height="14" fill=[(part == 1).then(|| format!("url(#{hatch})"))] {}
                            }
                            span { (name) " (" (short(sum(part))) ")" }
                        }
                    }
                    @if let Some(limit) = self.limit {
                        li {
                            svg width="14" height="14" aria-hidden="true" { line.limit x1="0" x2="14" y1="7" y2="7" {} }
                            span { "budget (" (short(limit)) ")" }
                        }
                    }
                }
            }
        }
    }

    /// Only numbers and texts of the program's own are in it.
    fn drawing(&self, &Drawing { class, width: full, labels }: &Drawing) -> String {
        let (id, hatch) = (self.id, format!("{}-{class}", self.id));
        let most = self.bars.iter().map(|bar| bar.parts[0].saturating_add(bar.parts[1])).max().unwrap_or(0);
        // A line far above the bars would make them small: the legend says the number.
        let limit = self.limit.filter(|limit| *limit / FARTHEST <= most);
        let (top, floor) = (ceiling(most.max(limit.unwrap_or(0))), HEIGHT - BELOW);
        let height = |amount: u64| amount as f64 / top as f64 * (floor - ABOVE);
        let step = (full - LEFT) / self.bars.len().max(1) as f64;
        let width = (step - 2.0).max(step * 0.6).min(48.0);
        let mut text = format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {full} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}\">{}",
            pattern(&hatch)
        );
        for amount in [0, top / 2, top] {
            let (x, y) = (LEFT - 8.0, floor - height(amount));
            let _ = write!(
                text,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{full}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                y + 4.0,
                short(amount)
            );
        }
        let every = self.bars.len().div_ceil(labels).max(1);
        for (place, bar) in self.bars.iter().enumerate() {
            let (left, mut y) = (LEFT + step * place as f64, floor);
            let x = left + (step - width) / 2.0;
            for (part, amount) in bar.parts.iter().enumerate().filter(|(_, amount)| **amount > 0) {
                // What is there is seen, and stays within the drawing if the sum is more than a number holds.
                let tall = height(*amount).clamp(1.0, y.max(1.0));
                y -= tall;
                let fill = if part == 1 { format!(" fill=\"url(#{hatch})\"") } else { String::new() };
                let (label, name) = (&bar.label, self.parts[part]);
                let _ = write!(
                    text,
                    "<rect class=\"part{part}\"{fill} x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{tall:.1}\">\
                     <title>{label}: {amount} {name}</title></rect>"
                );
            }
            // The last one would leave the drawing.
            if place % every == 0 && full - left > LABEL {
                let _ = write!(text, "<text x=\"{left:.1}\" y=\"{:.1}\">{}</text>", HEIGHT - 6.0, bar.short);
            }
        }
        if let Some(limit) = limit {
            let y = floor - height(limit);
            let _ = write!(
                text,
                "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{full}\" y1=\"{y:.1}\" y2=\"{y:.1}\"><title>budget: {limit}</title></line>"
            );
        }
        text + "</svg>"
    }
}

/// Hatching, for what is not told apart by colour alone.
fn pattern(id: &str) -> String {
    format!(
        "<defs><pattern id=\"{id}\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect class=\"hatch-ground\" width=\"5\" height=\"5\"/><rect class=\"hatch-line\" width=\"2\" height=\"5\"/></pattern></defs>"
    )
}

/// Rounds up to 2, 4, 6, 8, 10, 20, 40 and so on.
fn ceiling(most: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for digit in [2, 4, 6, 8, 10] {
            let Some(top) = power.checked_mul(digit) else { return u64::MAX };
            if top >= most {
                return top;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// A number in at most four characters and a letter: `950`, `1.2k`, `34M`.
pub fn short(number: u64) -> String {
    let mut rest = number as f64;
    for unit in ["", "k", "M", "G", "T", "P"] {
        // What would be rounded to 1000 has the next unit.
        if rest < 999.5 {
            let has_fraction = !unit.is_empty() && rest < 9.95;
            let text = if has_fraction { format!("{rest:.1}") } else { format!("{rest:.0}") };
            return text.strip_suffix(".0").unwrap_or(&text).to_owned() + unit;
        }
        rest /= 1000.0;
    }
    format!("{rest:.0}E")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1k"),
            (1249, "1.2k"),
            (9_949, "9.9k"),
            (9_951, "10k"),
            (999_499, "999k"),
            (999_500, "1M"),
            (34_000_000, "34M"),
            (u64::MAX, "18E"),
        ] {
            assert_eq!(short(number), text, "{number}");
        }
    }

    #[test]
    fn the_scale_ends_at_a_round_number() {
        for (most, top) in
            [(0, 2), (1, 2), (3, 4), (5, 6), (10, 10), (11, 20), (41, 60), (81, 100), (u64::MAX, u64::MAX)]
        {
            assert_eq!(ceiling(most), top, "{most}");
        }
    }

    #[test]
    fn every_amount_is_drawn_and_nothing_leaves_the_drawing() {
        let amounts = [[0, 0], [u64::MAX, u64::MAX], [1, 0], [5, 7]];
        let bars: Vec<Bar> = amounts.map(|parts| Bar { label: "x".to_owned(), short: "x".to_owned(), parts }).into();
        let plot = Plot { id: "p", title: "Tokens", parts: ["input", "output"], bars: &bars, limit: Some(9) };
        let drawing = plot.markup().into_string();
        assert_eq!(drawing.matches("<title>").count(), 2 * (5 + 1), "{drawing}");
        for y in drawing.split(" y=\"").skip(1) {
            let y: f64 = y.split('"').next().unwrap().parse().unwrap();
            assert!((0.0..=HEIGHT).contains(&y), "{drawing}");
        }
        assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{drawing}");
        assert!(Plot { bars: &[], ..plot }.markup().into_string().contains("</svg>"));
    }
}
