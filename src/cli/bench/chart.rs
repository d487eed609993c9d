//! What `rig bench` draws: latency over time, and how many operations a sync covered. Plain characters, for any
//! terminal.

use std::fmt::Write;
use std::time::Duration;

use super::meters::Sizes;
use super::report::Point;
use crate::cli::values::{show_duration, show_number};

/// Lines of the chart of latency.
const ROWS: u32 = 8;
/// From one line to the next at least so much, so that small differences stay small.
const STEP_MIN: f64 = 1.15;
/// In front of the columns: the number, and the axis.
const MARGIN: usize = 12;
/// Where no terminal says how wide it is.
const WIDTH: usize = 80;
/// The longest bar.
const BAR: usize = 40;

/// Latency over time: `#` up to the median, `:` from there to p99. The scale is logarithmic, so that a median of
/// 100 us is seen beside a p99 of 10 ms.
pub(super) fn latency(points: &[Point], width: Option<u16>) -> String {
    let room = width.map_or(WIDTH, usize::from).saturating_sub(MARGIN).max(1);
    let columns = fit(points, room);
    let lowest = columns.iter().flatten().map(|(p50, _)| *p50).min();
    let highest = columns.iter().flatten().map(|(_, p99)| *p99).max();
    let (Some(lowest), Some(highest)) = (lowest, highest) else { return String::new() };
    // The lowest median fills one line, the highest p99 all of them.
    let (lowest, highest) = (lowest.max(1) as f64, highest.max(1) as f64);
    let step = (highest / lowest).powf(1.0 / f64::from(ROWS - 1)).max(STEP_MIN);
    let mut text = String::new();
    for row in (0..ROWS).rev() {
        let level = lowest * step.powi(row as i32);
        let cells = columns.iter().map(|column| match column {
            // A little less than the level: what was rounded must not fall short of itself.
            Some((p50, _)) if *p50 as f64 >= level * 0.999 => '#',
            Some((_, p99)) if *p99 as f64 >= level * 0.999 => ':',
            _ => ' ',
        });
        line(&mut text, &show_number(level.round() as u64), "us |", cells);
    }
    line(&mut text, "", "   +", columns.iter().map(|_| '-'));
    let end = points.last().map_or(0.0, |point| point.at_s + point.length_s);
    let (begin, end) = ("0s", show_duration(Duration::from_secs_f64(end)));
    let gap = columns.len().saturating_sub(end.len() + begin.len()).max(1);
    writeln!(text, "{:MARGIN$}{begin}{:gap$}{end}", "", "").expect("a string takes all text");
    text
}

fn line(text: &mut String, label: &str, axis: &str, cells: impl Iterator<Item = char>) {
    let cells: String = cells.collect();
    writeln!(text, "{label:>8}{axis}{}", cells.trim_end()).expect("a string takes all text");
}

/// Median and p99 of each column: several for each point, or several points in one, of which the worst is shown.
fn fit(points: &[Point], room: usize) -> Vec<Option<(u64, u64)>> {
    let spread = |point: &Point| point.p50_us.zip(point.p99_us);
    let times = room / points.len().max(1);
    if times > 0 {
        return points.iter().flat_map(|point| std::iter::repeat_n(spread(point), times)).collect();
    }
    let worst = |some: &[Point]| {
        let spreads = some.iter().filter_map(spread);
        spreads.reduce(|one, two| (one.0.max(two.0), one.1.max(two.1)))
    };
    points.chunks(points.len().div_ceil(room)).map(worst).collect()
}

/// How many operations a sync covered: a line for each size, its bar as long as its part.
pub(super) fn batches(sizes: &[Sizes]) -> String {
    let most = sizes.iter().map(|size| size.batches).max().unwrap_or(0).max(1);
    let mut text = String::new();
    for Sizes { from, upto, batches } in sizes {
        let range = match upto {
            Some(upto) if upto == from => from.to_string(),
            Some(upto) => format!("{from}-{upto}"),
            None => format!("{from}-"),
        };
        // What is there is seen, however little it is.
        let bar = (*batches as f64 / most as f64 * BAR as f64).round() as usize;
        let bar = "#".repeat(bar.max(usize::from(*batches > 0)));
        let row = format!("{range:>9}  {:>9}  {bar}", show_number(*batches));
        writeln!(text, "{}", row.trim_end()).expect("a string takes all text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: u32, spread: Option<(u64, u64)>) -> Point {
        let (p50_us, p99_us) = spread.unzip();
        Point { at_s: f64::from(at), length_s: 1.0, ops_per_s: 0.0, p50_us, p99_us, max_us: p99_us }
    }

    #[test]
    fn a_chart_shows_medians_peaks_and_gaps() {
        let spreads = [Some((100, 200)), Some((100, 12_800)), None, Some((400, 400))];
        let points: Vec<_> = (0..).zip(spreads).map(|(at, spread)| point(at, spread)).collect();
        let chart = latency(&points, Some(12 + 4));
        let expected = [
            "  12,800us | :",
            "   6,400us | :",
            "   3,200us | :",
            "   1,600us | :",
            "     800us | :",
            "     400us | : #",
            "     200us |:: #",
            "     100us |## #",
            "           +----",
            "            0s 4.0s",
        ];
        assert_eq!(chart.lines().collect::<Vec<_>>(), expected);
        assert_eq!(latency(&points[2..3], None), "", "nothing to draw");
    }

    #[test]
    fn a_chart_is_as_wide_as_the_terminal_lets_it_be() {
        let points: Vec<_> = (0..40).map(|at| point(at, Some((100, if at == 33 { 900 } else { 100 })))).collect();
        for (width, columns) in [(None, 40), (Some(80), 40), (Some(100), 80), (Some(40), 20), (Some(5), 1)] {
            let chart = latency(&points, width);
            let lowest = chart.lines().nth(ROWS as usize - 1).unwrap();
            assert_eq!(lowest.matches('#').count(), columns, "{width:?}\n{chart}");
            assert!(chart.lines().next().unwrap().contains(':'), "the peak is not lost\n{chart}");
        }
    }

    #[test]
    fn bars_are_as_long_as_their_part_and_never_vanish() {
        let size = |from, upto, batches| Sizes { from, upto, batches };
        let sizes = [size(1, Some(1), 4000), size(2, Some(2), 0), size(3, Some(4), 1), size(5, None, 2000)];
        let bar = |len| "#".repeat(len);
        let expected = format!(
            "        1      4,000  {}\n        2          0\n      3-4          1  #\n       5-      2,000  {}\n",
            bar(BAR),
            bar(BAR / 2)
        );
        assert_eq!(batches(&sizes), expected);
    }
}
