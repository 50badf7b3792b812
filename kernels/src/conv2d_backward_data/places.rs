//! The adjoint of a window, one residue of the stride at a time.
//!
//! Inputs `first, first + stride, …` of a convolution are met by the same taps, every `step`-th one. Among outputs in their
//! order, such a tap stands at a fixed distance, so that these inputs are a convolution of the outputs with stride 1.

use etalon_reference::ops::window::Window;

/// The inputs of one residue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The first input.
    pub first: usize,
    /// The first tap that meets them.
    pub tap: usize,
    /// Taps from one that meets them to the next.
    pub step: usize,
    /// The convolution of the outputs, whose taps are those that meet them in descending order; `None` if no tap meets one.
    pub window: Option<Window>,
    /// Inputs.
    pub count: usize,
    /// Outputs that no tap reaches, before and behind the others: the convolution is without them.
    pub unused: [usize; 2],
}

/// The residues of a window's stride that have inputs.
pub fn residues(w: &Window) -> impl Iterator<Item = Places> {
    (0..w.stride.min(w.input)).map(|first| places(w, first))
}

fn places(w: &Window, first: usize) -> Places {
    let count = (w.input - first).div_ceil(w.stride);
    let meets = |tap: usize| (first + w.before).abs_diff(tap * w.dilation).is_multiple_of(w.stride);
    let step = w.stride / gcd(w.stride, w.dilation);
    let none = Places { first, tap: 0, step, window: None, count, unused: [0, w.output] };
    let Some(tap) = (0..w.taps.min(step)).find(|&tap| meets(tap)) else { return none };
    let taps = (w.taps - tap).div_ceil(step);
    // Input first + i·stride is met by tap + t·step of output i + distance − t·dilation.
    let dilation = step * w.dilation / w.stride;
    let distance = ((first + w.before) as isize - (tap * w.dilation) as isize) / w.stride as isize;
    let reach = ((taps - 1) * dilation) as isize;
    let (before, after) = (reach - distance, (count as isize - w.output as isize) + distance);
    let unused = [-before, -after].map(|x| usize::try_from(x).unwrap_or(0));
    let Some(input) = w.output.checked_sub(unused[0] + unused[1]).filter(|&input| input > 0) else { return none };
    let [before, after] = [before, after].map(|x| usize::try_from(x).unwrap_or(0));
    let dilation = if taps == 1 { 1 } else { dilation };
    let window = Window { input, taps, stride: 1, dilation, before, after, output: count };
    Places { first, tap, step, window: Some(window), count, unused }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each product of the window appears once among the residues' windows.
    #[test]
    fn no_product_is_lost() {
        let sizes = [1, 2, 3, 5, 8];
        for (input, taps, stride) in triples(&sizes) {
            for (dilation, before, after) in [(1, 0, 0), (1, 1, 2), (2, 3, 0), (3, 4, 4), (4, 7, 9)] {
                let Ok(w) = Window::new("w", [input, taps, stride, dilation, before, after]) else { continue };
                let mut expected: Vec<_> =
                    (0..w.output).flat_map(|o| (0..w.taps).filter_map(move |t| Some((w.index(o, t)?, o, t)))).collect();
                let mut found = Vec::new();
                for p in residues(&w) {
                    let Some(own) = p.window else { continue };
                    assert_eq!(own.output, p.count);
                    for (i, t) in (0..p.count).flat_map(|i| (0..own.taps).map(move |t| (i, t))) {
                        if let Some(o) = own.index(i, t) {
                            found.push((p.first + i * w.stride, o + p.unused[0], p.tap + (own.taps - 1 - t) * p.step));
                        }
                    }
                }
                expected.sort();
                found.sort();
                assert_eq!(found, expected, "{w:?}");
            }
        }
    }

    fn triples(sizes: &[usize]) -> impl Iterator<Item = (usize, usize, usize)> {
        sizes.iter().flat_map(move |&a| sizes.iter().flat_map(move |&b| sizes.iter().map(move |&c| (a, b, c))))
    }
}
