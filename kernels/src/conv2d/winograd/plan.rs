//! Weights transformed once for several calls.

use etalon_reference::operator::downcast;
use etalon_reference::ops::conv2d::Conv2d;

use super::DEPTH;
use super::weights::{Filters, Weights, len};
use crate::aligned::AlignedVec;
use crate::call::Inputs;
use crate::conv2d::operands::Order;
use crate::faults::fault;
use crate::gemm::tile::Tile;
use crate::isa::Isa;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{KernelError, Plan};

/// The transformed weights of a problem, by group, panel of output channels and chunk of input channels.
///
/// They are n²/9 times as many as the weights, and more where channels do not fill panels.
pub struct Transformed {
    u: AlignedVec<f32>,
    /// Outputs of a tile in one dimension.
    m: usize,
    /// Output channels of a panel.
    panel: usize,
    /// Groups, and input and output channels of each.
    sizes: [usize; 3],
}

impl Transformed {
    /// Transforms `w`, k×(c/groups)×3×3 as the operator has them, for panels of `panel` output channels.
    pub fn new<L: Wide, const M: usize, const N: usize>(l: L, p: &Conv2d, w: &[f32], panel: usize) -> Transformed {
        let sizes @ [groups, channels, outputs] = sizes(p);
        let each = len::<N>(channels, panel);
        let (panels, chunks) = (outputs.div_ceil(panel), channels.div_ceil(DEPTH));
        let mut u = AlignedVec::new();
        u.resize(groups * panels * chunks * each);
        for (i, u) in u.chunks_exact_mut(each).enumerate() {
            let (group, panel_index, c) = (i / (panels * chunks), i / chunks % panels, i % chunks * DEPTH);
            let w = &w[group * outputs * channels * 9..][..outputs * channels * 9];
            let filters = Filters { w, channels, outputs, order: Order::ChannelsFirst };
            let chunk = c..channels.min(c + DEPTH);
            l.enter(Weights::<M, N> { filters, chunk, first: panel_index * panel, panel, u });
        }
        Transformed { u, m: M, panel, sizes }
    }

    /// The weights, if they were transformed for a problem of these sizes and this kernel.
    pub fn of(&self, p: &Conv2d, m: usize, panel: usize) -> Option<&[f32]> {
        ((self.m, self.panel, self.sizes) == (m, panel, sizes(p))).then_some(&self.u)
    }
}

/// The part of transformed weights of a group's panel and chunk.
pub fn part<'a, const N: usize>(p: &Conv2d, u: &'a [f32], group: usize, k: usize, c: usize, panel: usize) -> &'a [f32] {
    let [_, channels, outputs] = sizes(p);
    let each = len::<N>(channels, panel);
    let (panels, chunks) = (outputs.div_ceil(panel), channels.div_ceil(DEPTH));
    let group = if fault!("conv2d.prepacked-group") { 0 } else { group };
    &u[((group * panels + k / panel) * chunks + c / DEPTH) * each..][..each]
}

/// Output channels of a panel.
pub fn panel(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => <crate::gemm::avx2::F32 as Tile>::NR,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => <crate::gemm::avx512::F32 as Tile>::NR,
        _ => 1,
    }
}

/// The weights, transformed for F(m).
pub fn plan(inputs: &Inputs<'_>, isa: Isa, m: usize) -> Result<Plan, KernelError> {
    struct Make<'a>(&'a Conv2d, &'a [f32], usize, usize);
    impl Work for Make<'_> {
        type Output = Transformed;
        #[inline(always)]
        fn run<L: Wide>(self, l: L) -> Transformed {
            let Make(p, w, panel, m) = self;
            match m {
                2 => Transformed::new::<L, 2, 4>(l, p, w, panel),
                4 => Transformed::new::<L, 4, 6>(l, p, w, panel),
                _ => Transformed::new::<L, 6, 8>(l, p, w, panel),
            }
        }
    }
    let (p, w) = (downcast(inputs.problem()), inputs.input(1));
    Ok(Box::new(with_lanes(isa, Make(p, w, panel(isa), m)).map_err(KernelError::Isa)?))
}

fn sizes(p: &Conv2d) -> [usize; 3] {
    [p.groups, p.group_in(), p.group_out()]
}
