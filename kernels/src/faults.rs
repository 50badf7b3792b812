//! Faults that are planted in our own kernels, to ask whether the checks find them.
//!
//! Each is a short line in a kernel, behind `fault!("operator.name")`: the constant `false` without the feature `faults`, so
//! that nothing of it is compiled. With the feature, the environment variable `ETALON_FAULT` names the one that is switched
//! on. `cargo xtask mutants` goes through the list.

/// A planted fault.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The operator in whose folder it lies, a point, and what it is.
    pub name: &'static str,
    /// Which kind of fault.
    pub kind: Kind,
    /// What is wrong, and where that shows.
    pub what: &'static str,
}

/// Why a fault is hard to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only sizes behind a threshold of the kernel take the path.
    Threshold,
    /// Only production takes the branch, on problems too small for several threads or for streaming.
    Mode,
    /// Only some number of images, matrices or threads shows it.
    Count,
    /// The values are right within any bound: only bits differ.
    Bits,
    /// The kernel, or this path of it, rarely runs.
    Rare,
    /// A plain mistake.
    Plain,
}

impl Kind {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Threshold => "threshold",
            Kind::Mode => "mode",
            Kind::Count => "count",
            Kind::Bits => "bits",
            Kind::Rare => "rare",
            Kind::Plain => "plain",
        }
    }
}

impl Fault {
    /// The operator in whose folder it lies.
    pub fn operator(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(operator, _)| operator)
    }
}

/// One row for each: name, kind, what is wrong.
macro_rules! faults {
    ($($name:literal $kind:ident $what:literal)*) => {
        &[$(Fault { name: $name, kind: Kind::$kind, what: $what }),*]
    };
}

/// Every planted fault.
pub static ALL: &[Fault] = faults! {
    "gemm.third-row-block" Threshold "the third block of rows is not computed (f32: m above 480)"
    "gemm.second-column-block" Threshold "the second block of columns is not packed anew (f32: n above 512)"
    "gemm.beta-again" Threshold "β is applied again behind the first 512 products"
    "gemm.large-b-remainder" Threshold
        "of a B above 1 MiB, the last rows of a depth that is no multiple of 8 are not packed"
    "gemm.skinny-second-strip" Threshold "a narrow product skips the second strip of outputs"
    "gemm.skinny-second-depth" Threshold
        "a narrow product starts anew behind 64 KiB of the narrow operand (8 rows: k above 2048)"
    "gemm.seventeen-threads" Count "with more than 16 threads, a rectangle lacks its last column"
    "gemm.inline-tasks" Mode "a batch that does not pay for the pool's other threads lacks its last matrix"
    "gemm.narrow-by-tiles" Mode "a narrow product that is too small for its own loops lacks its last row"
    "gemm.split-by-threads" Bits "where threads share a matrix, k above 512 is cut at other places"
    "gemm.skinny-stale-sums" Bits "sums of a narrow product start with what the workspace holds"
    "gemm.batch-of-padded-c" Plain "with a longer leading dimension, matrices of C are taken for contiguous"
    "gemm.prepacked-second-chunk" Rare "a plan's second chunk is that of the first matrix, for each of a batch"
    "gemm.skinny-beta-zero-reads" Plain "a narrow product multiplies C with β = 0"
    "gemm.relu-drops-nan" Plain "ReLU of finished rows makes 0 of NaN"
    "gemm.reads-behind" Plain "one element behind A is read"
    "gemm.f64-edge-column" Plain "in f64, a tile that lacks one column lacks two"
    "gemm.small-second-panel" Mode "a product too small to be cut lacks what is behind the first panel of columns"
    "gemm.short-second-block" Threshold "of a C of 16 bits, rows behind the first 2²⁰ elements are not written"
    "gemm.bf16-third-chunk" Threshold "by vdpbf16ps, products behind the first 1024 are lost"
    "gemm.bf16-second-rows" Threshold "where B is large, rows behind the first 32 are not packed"
    "gemm.short-last-columns" Plain "of a C of 16 bits, columns behind the last multiple of 16 are not written"
    "gemm_backward.second-task" Threshold "behind 16384 elements, ReLU looks at the z of the first ones"
    "gemm_backward.second-columns" Threshold "behind 256 columns, dbias sums the first ones again"
    "gemm_backward.passes-at-zero" Plain "ReLU passes the gradient where z = 0"
    "gemm_backward.alpha-of-db" Plain "dB lacks the factor α"
    "conv2d.winograd-second-block" Threshold "the second block of tiles is not computed"
    "conv2d.winograd-second-chunk" Threshold "behind 128 input channels the sums start anew"
    "conv2d.winograd-eleventh-image" Count "the outputs of images behind the tenth are not written"
    "conv2d.winograd-inline" Mode "pieces that do not pay for the pool's other threads lack the last one"
    "conv2d.winograd2-wide-padding" Rare "F(2) lacks the image's last row where two rows or more of zeros lie above"
    "conv2d.winograd4-bias" Rare "F(4) adds no bias behind the first 16 output channels of a group"
    "conv2d.winograd6-partial-tile" Rare "F(6) does not write a last tile of five columns"
    "conv2d.winograd-nhwc-channels" Rare
        "by pixels, channels behind the first 16 of tiles at the upper edge are not transformed"
    "conv2d.prepacked-group" Rare "a plan's weights are those of the first group for all"
    "conv2d.depthwise-multiplier" Rare "by planes with several outputs a group, an output meets another group's image"
    "conv2d.depthwise-stale-border" Rare "by planes, the zeros around an image are what the workspace holds"
    "conv2d.depthwise-nhwc-bias" Rare "by pixels, channels behind the first 16 take the first ones' bias"
    "conv2d.depthwise-5x5" Rare "by planes, the last of 5×5 taps is lost"
    "conv2d.direct-third-band" Threshold "the third band of rows is not computed"
    "conv2d.direct-stride-4" Rare "columns of the last of four residues are not copied"
    "conv2d.im2col-second-block" Threshold "patches behind the first 4 MiB are not multiplied"
    "conv2d.fifth-image" Count "images behind the fourth are not computed (implicit GEMM by planes)"
    "conv2d.third-group" Count "the third group takes the second one's weights (1×1, or by pixels)"
    "conv2d_backward_data.third-residue" Rare
        "with strides of columns above 2, residues behind the second are not written"
    "conv2d_backward_data.crop-left" Rare "by pixels, columns that no tap meets are counted in elements"
    "conv2d_backward_data.unturned" Rare
        "taps of weights that are read as they lie are not turned, behind the first 16 channels"
    "conv2d_backward_data.turned-second-chunk" Rare
        "a 3×3 residue by Winograd's algorithm: behind the first 16 channels, the turned weights are those of the first ones"
    "conv2d_backward_data.many-taps" Threshold "taps behind the 32nd of a dimension are lost"
    "conv2d_backward_weights.fifth-image" Count "the fifth image forgets those before"
    "conv2d_backward_weights.depthwise-second-chunk" Threshold
        "with one input channel a group, pixels behind the first 256 are lost"
    "conv2d_backward_weights.transpose-tail" Plain
        "rows behind the last multiple of 16 are not transposed, behind the first 16 columns"
    "conv2d_backward_weights.dbias-second-task" Threshold
        "by pixels, dbias of channels behind the first 16 is that of the first"
    "conv_transpose2d.no-tap-no-bias" Rare "what no tap meets is 0, not the bias"
    "conv_transpose2d.odd-width" Plain "the last of an odd number of columns is not written, with a stride of 2"
    "conv_transpose2d.fifth-image" Count "images behind the fourth are not computed, with a stride"
    "conv_transpose2d_backward.dbias-of-three" Count "dbias sums three images at most"
    "conv_transpose2d_backward.dx-by-winograd" Bits "dx takes Winograd's algorithm where that is faster"
    "matmul_int8.third-chunk" Threshold "products behind the second chunk (512 words) of a sum are lost"
    "matmul_int8.inline-tasks" Mode "a product that does not pay for the pool's other threads lacks its last block of rows"
    "matmul_int8.relu-below-zero" Plain "behind requantization, ReLU lets results below the zero point pass"
    "matmul_int8.first-zero-point" Rare "with zero points per column, the second one counts for all that follow"
    "conv2d_int8.zero-padding" Rare "taps on the padding meet 0, not the zero point"
    "conv2d_int8.third-group" Count "the third group meets the second one's channels"
    "conv2d_int8.run-over-chunk" Threshold "what a run of taps has behind a chunk of 256 words is lost"
    "conv2d_int8.depthwise-last-channels" Plain "channels behind the last whole vector are not written, but for few"
    "conv2d_int8.fifth-image" Count "by planes, images behind the fourth are the fourth"
    "max_pool2d.third-block" Threshold "behind 32 outputs of a row, the first 16 are written again"
    "max_pool2d.left-of-image" Rare "a window of −∞ that begins left of the image has found its column −1"
    "max_pool2d.fifth-image" Count "by pixels, images behind the fourth are the fourth"
    "max_pool2d.channel-tail" Rare "by pixels, channels behind the last multiple of 16 pass NaN over"
    "max_pool2d_backward.second-band" Count "by pixels, where threads share an image, channels behind the first task are not computed"
    "max_pool2d_backward.last-plane" Mode "where a task has several planes, the first task is not computed"
    "adaptive_max_pool2d.third-row" Plain "under uneven windows, rows behind the second are not seen"
    "adaptive_max_pool2d.last-of-row" Plain "under uneven windows, rows behind the first lack their last element"
    "adaptive_max_pool2d_backward.shared-element" Rare "by planes, of several windows that found an element the last counts alone"
    "adaptive_max_pool2d_backward.shared-pixel" Rare "by pixels, of several windows over a pixel the last counts alone"
    "avg_pool2d.third-block" Threshold "behind two vectors of outputs of a row, the first is written again"
    "avg_pool2d.fourth-row" Rare "the last of an even number of rows above 2 is not added"
    "avg_pool2d.fifth-image" Count "by pixels, images behind the fourth are the fourth"
    "avg_pool2d.rest-of-plane" Plain "of a whole plane, what is behind the last vector is not added"
    "avg_pool2d_backward.odd-places" Rare "with a stride of 2 and an odd window, odd places see the windows of the place before"
    "avg_pool2d_backward.third-window" Plain "by pixels, windows behind the second along a row are lost"
    "avg_pool2d_backward.second-image" Count "by pixels, under a window that is the whole image, images of a task are its first one"
    "adaptive_avg_pool2d.fourth-column" Plain "under uneven windows, columns behind the third are not added"
    "adaptive_avg_pool2d.second-vector" Threshold "under uneven windows, a row's outputs behind the first vector are not written"
    "adaptive_avg_pool2d_backward.shared-column" Plain "a column under several uneven windows sees the last alone"
    "adaptive_avg_pool2d_backward.ninth-column" Plain "under uneven windows, the ninth column has no gradient"
    "fractional_max_pool2d.third-column" Plain "columns of a region behind the second are not seen"
    "fractional_max_pool2d.rows-of-columns" Plain "rows are placed by the first of the columns' uniforms"
    "fractional_max_pool2d_backward.last-alone" Rare "by pixels, of several regions that found an element the last counts alone"
    "fractional_max_pool2d_backward.fifth-image" Count "by pixels, positions are those of the first four images"
    "l2_pool2d.not-squared" Plain "elements are added, not their squares"
    "l2_pool2d.no-root" Plain "the sum of squares has no root taken"
    "l2_pool2d_backward.zero-norm" Rare "by pixels, what is all of its norm has no gradient"
    "l2_pool2d_backward.second-row" Plain "by planes, of the windows over an element, rows behind the first are lost"
    "unpool2d.last-row" Threshold "where a row of outputs has 64 elements or more, cells have one row"
    "unpool2d.nail-beside" Rare "by pixels, or in cells of more than 4 columns, a bed of nails is filled along its rows"
    "unpool2d_backward.second-task" Threshold "behind 16384 elements, corners are those of the first task"
    "unpool2d_backward.fifth-image" Count "by pixels, positions are those of the first four images"
    "dropout.third-task" Threshold "behind 16384 elements, the numbers of the second 8192 come again"
    "dropout.offset-of-32-bits" Rare "of the offset, the lower 32 bits count alone"
    "dropout_backward.unscaled" Plain "elements that stay are not scaled"
    "dropout_backward.second-mask" Threshold "behind 16384 elements, the mask of the first ones comes again"
    "batchnorm_relu.sums-by-alignment" Bits "the order of a sum depends on where x lies"
    "batchnorm_relu.cut-by-threads" Bits "rows are cut into other chunks for more than two threads"
    "batchnorm_relu.running-twice" Threshold
        "by rows, running statistics move twice where there is a second group of rows"
    "batchnorm_relu.third-group" Threshold "by rows, the third group is merged as if it were the second"
    "batchnorm_relu.stream-tail" Threshold "past the caches, what follows the last whole line is not written"
    "batchnorm_relu.infer-second-task" Threshold
        "by planes, the second task of inference begins with the first channel's statistics"
    "batchnorm_relu_backward.plain-mask" Rare "where sums overflow, the mask lets dy pass at y = 0"
    "batchnorm_relu_backward.tenth-image" Count "by planes, dx of the first of ten images is not written"
    "batchnorm_relu_backward.second-group" Threshold "by rows, sums are those of the first group of rows"
    "batchnorm_relu_backward.last-gamma" Plain "channels behind the 128th take 1 for γ"
    "activation.relu-drops-nan" Rare "ReLU gives 0 for NaN"
    "activation.second-task" Threshold "behind 16384 elements, PReLU counts channels anew"
    "activation.second-image" Count "by planes, PReLU takes the first channel's α for all images but the first"
    "activation_backward.passes-at-zero" Plain "ReLU passes the gradient where x = 0"
    "activation_backward.second-piece" Threshold "dα lacks the second 1024 elements of each plane"
    "matmul_int8.few-rest" Threshold "of few rows, what is behind the last whole vector of k is not added"
    "matmul_int8.few-deep" Threshold "of few rows, what is behind the first 128 words of k is not added, of the first 8 where B is large"
    "matmul_int8.tall-rest" Threshold "of few columns, what is behind the last whole word of k is not added"
    "matmul_int8.sums-anew" Threshold "where B is large, sums of its columns lack all rows but the last 64"
    "matmul_nbits.third-group" Threshold "packed: the third group of a row is not added"
    "matmul_nbits.second-group" Threshold "by GEMM: the second group takes the first one's scale and zero point"
    "matmul_binary.second-batch" Threshold "words behind the first 31 are not counted"
    "matmul_binary.last-bits" Plain "what is behind the last element of a row is counted, too"
    "quantize.fifth-group" Threshold "groups of a row behind the fourth take the fourth one's scale"
    "quantize.last-of-group" Plain "what follows a group's last 16 elements is not written"
    "dequantize.byte-difference" Plain "zero points above 100 count as 100"
    "dequantize.short-scale" Plain "scales lose their last 8 bits"
    "quantization_range.last-of-group" Plain "what follows a group's last 16 elements is not looked at"
    "quantization_range.second-task" Threshold "of a tensor's percentiles, elements behind the first 16384 are not counted"
    "quantization_range.infinite-counts" Rare "elements that are not finite count when elements are left out"
    "mixed_precision_sgd.second-task" Threshold "an overflow behind the first 16384 gradients is not seen"
    "mixed_precision_sgd.nesterov-of-old" Plain "Nesterov's step looks at the old momentum"
    "mixed_precision_sgd.count-goes-on" Rare "where the scale is doubled, good steps are counted on"
    "lstm.stale-state" Count "from the fourth step on, sums see the state of two steps before"
    "lstm.late-bias" Plain "b_hh is added in the first step alone"
    "lstm.second-task" Threshold "of tasks of rows behind the first, the last row is not computed"
    "gru.no-reset" Plain "the candidate is not reset"
    "gru.apart-again" Threshold "of more than 256 units, the sum that is apart begins again with each chunk"
    "gru_backward.not-reset" Plain "what goes to the sum over the hidden units is not reset"
    "gru_backward.no-way-past" Plain "what goes to the output before lacks the part that passes by the gates"
    "rnn.relu-below-0" Plain "ReLU passes what is between −1 and 0"
    "gru.state-behind-end" Rare "the state behind the end of a sequence is that of the steps that it lacks"
    "rnn.reverse-second-block" Threshold "in reverse, all blocks of steps (1024 rows) take the first inputs"
    "recurrent_layers.both-forward" Plain "the layer in reverse goes forward, too"
    "recurrent_layers.third-layer" Count "the third layer sees the outputs that the second one saw"
    "rotary.second-sequence" Count "rows of sequences behind the first are turned as the last row"
    "rotary.rest-of-halves" Threshold "pairs behind the last whole vector are not turned"
    "rotary_backward.neighbours-forward" Plain "neighbours turn forward in the gradient, too"
    "rotary_backward.halves-forward" Plain "halves turn forward in the gradient, too"
    "rnn.odd-step" Count "in every second step with packed weights, the first block of units is not computed"
    "attention.first-length" Count "all sequences have the length of the first"
    "attention.third-of-group" Count "of the heads that share keys, those behind the second are taken for the second"
    "attention.mask-of-base-2" Plain "an added mask is not multiplied with log₂e"
    "attention.sums-not-corrected" Threshold "where the largest score grows in a later block, the sums before stay"
    "attention.diagonal-of-second-block" Threshold "behind the first 96 keys, a panel's queries see what its last one sees"
    "attention.nothing-over-nothing" Rare "a query that sees nothing gives NaN"
    "attention.leaks" Rare "NaN of values that a query does not see reaches its sums"
    "attention.rest-of-bf16" Threshold "of bf16, elements behind the last whole vector of a task are not rounded to y"
    "attention.few-not-corrected" Threshold "of up to 8 rows, sums stay where the largest score grows in a later block"
    "attention.second-task" Threshold "behind the first 128 rows, the last one is not written"
    "attention_backward.empty-row" Rare "a query that sees nothing has NaN as its powers"
    "attention_backward.nan-of-unseen" Rare "where a query does not see a key, a product that is NaN counts"
    "attention_backward.leaks" Rare "NaN of what a query does not see reaches its sums"
    "attention_backward.second-block-of-rows" Threshold "behind the first 96 rows of queries, dk lacks a block's last one"
    "attention_backward.second-block-of-keys" Threshold "behind the first 96 keys, dq lacks all of a block but the first"
    "cross_entropy.mean-of-all" Rare "the mean is taken over rows without a label, too"
    "cross_entropy.rest" Plain "what is behind a row's last element is in its sum"
    "cross_entropy.smoothed-weights" Rare "where labels are smoothed, the logarithm is not weighted by the classes"
    "cross_entropy_backward.weight-of-all" Rare "where labels are smoothed, powers are multiplied with the label's weight alone"
    "cross_entropy_backward.without-label" Rare "rows without a label have a gradient"
    "cross_entropy_backward.hard-label" Rare "of a smoothed label all is taken from its class"
    "layer_norm.gain-alone" Rare "γ is left out where there is no β"
    "layer_norm.rest-of-squares" Plain "the zeros behind a row's last whole vector are in its variance, without the mean"
    "layer_norm_backward.mean-of-rms" Plain "RMS norm's gradient loses its mean, as layer norm's does"
    "layer_norm_backward.second-chain" Threshold "dγ and dβ lack the rows behind the first 64"
    "softmax.rest-not-added" Plain "what is behind the last whole vector is not in the sum"
    "softmax.second-vector" Plain "of lines side by side, all vectors are scaled by the first one's sums"
    "softmax_backward.temperature" Rare "the gradient is not divided by the temperature"
    "softmax_backward.last-line" Plain "along a dimension that is not the last one, sums lack its last element"
    "clip_norm.rest-lost" Plain "what is behind the last whole vector is not in the norm"
    "clip_norm.four-chunks" Threshold "squares behind the first four chunks are not in the norm"
    "distillation.temperature" Plain "the divergence is not multiplied with the temperature's square"
    "distillation.rest" Plain "what is behind a row's last element is in its sums"
    "distillation_backward.teacher-of-student" Plain "the teacher's powers are divided by the student's sum"
    "distillation_backward.no-label" Plain "the label has no share"
    "embedding.second-task" Threshold "rows behind the first task take the first numbers again"
    "embedding.padding" Rare "padding takes the table's first row"
    "embedding_backward.two-of-a-row" Count "of the numbers of a row, those behind the second are lost"
    "embedding_backward.rest" Plain "what is behind the last whole vector of a row is not added"
    "multi_margin.rest" Plain "what is behind the last element of a row costs, too"
    "multi_margin.before-the-label" Plain "classes behind the label cost nothing"
    "multi_margin_backward.at-zero" Rare "with p = 1, an excess of 0 has a slope"
    "multi_margin_backward.sum-before-the-label" Plain "the label's gradient lacks all slopes"
    "pair_loss.rest" Plain "what is behind the last element of a chunk is in its sum"
    "pair_loss.four-chunks" Threshold "losses behind the first four chunks are not in the sum"
    "pair_loss.column-of-second-row" Threshold "rows behind the first begin with the first weight wherever a task begins"
    "pair_loss_backward.second-task" Threshold "behind 16384 elements, the upstream gradients of the first ones come again"
    "pair_loss_backward.mean-of-all" Rare "where the sum is divided by the rows, the gradient is divided by the elements"
    "reduce.rest-lost" Plain "what is behind the last whole vector of a row does not count"
    "reduce.rest-of-extremes" Plain "the largest or least of a row is not looked for behind the last whole vector"
    "reduce.last-line" Plain "along a dimension that is not the last one, a piece's last line does not count"
    "reduce.second-piece" Threshold "sums lack what is behind the first 4096 elements, or lines behind the first 256"
    "reduce.last-of-equals" Threshold "of equal elements in two pieces, the last one's place is taken"
    "reduce_backward.mean-of-one" Plain "the mean's gradient is not divided"
    "reduce_backward.place-of-first" Plain "along a dimension that is not the last one, all take the first place"
    "triplet.rest" Plain "what is behind the last whole vector of a row is not in its distances"
    "triplet.margin" Rare "the margin is 1, whatever is asked for"
    "triplet_backward.always" Plain "rows whose negative sample is far enough have a gradient"
    "triplet_backward.first-distance" Plain "both differences are divided by the first distance"
    "rnn_backward.last-alone" Plain "the upstream gradient of the outputs is not looked at"
    "recurrent_layers_backward.second-bias" Plain "of cells that are not reset, the gradient of the second bias is not written"
    "recurrent_layers_backward.one-direction" Rare "in layers above the first, dx lacks the direction in reverse"
    "rnn_backward.dx-behind-end" Rare "dx behind the end of a sequence is what 0 times NaN leaves"
    "rnn_backward.relu-at-0" Plain "ReLU passes the gradient where the output is 0"
    "lstm_backward.one-upstream" Plain "the upstream gradient of the last cells is not looked at"
    "lstm_backward.first-of-dw" Rare "dW_hh lacks the product of the first step with the initial output"
    "lstm_backward.shorter-in-reverse" Rare "in reverse, dh0 of a sequence that lacks steps is not written"
    "lstm_backward.second-task" Threshold "tasks of rows behind the first take the first rows' dh"
    "activation_backward.four-images" Count "dα sums four images, or four chunks of rows, at most"
};

/// Whether the environment names this fault. The constant `false` without the feature `faults`.
#[cfg(not(feature = "faults"))]
macro_rules! fault {
    ($name:literal) => {
        false
    };
}

/// Whether the environment names this fault. A name that is not in the list does not compile.
#[cfg(feature = "faults")]
macro_rules! fault {
    ($name:literal) => {{
        const PLACE: usize = $crate::faults::place($name);
        $crate::faults::planted() == Some(PLACE)
    }};
}

pub(crate) use fault;

/// Reads the element behind the last one.
#[cfg(feature = "faults")]
pub(crate) fn read_behind<T: Copy>(x: &[T]) {
    // SAFETY: none. This is the fault: a page that may not be read, or nothing.
    let _ = unsafe { x.as_ptr().add(x.len()).read_volatile() };
}

/// Does nothing without the feature.
#[cfg(not(feature = "faults"))]
pub(crate) fn read_behind<T: Copy>(_: &[T]) {}

#[cfg(feature = "faults")]
pub use switched::{check, place, planted};

#[cfg(feature = "faults")]
mod switched {
    use std::sync::LazyLock;

    use super::ALL;

    /// The place of a name in the list.
    ///
    /// # Panics
    /// If it is not there.
    pub const fn place(name: &str) -> usize {
        let mut i = 0;
        while i < ALL.len() {
            if equal(ALL[i].name.as_bytes(), name.as_bytes()) {
                return i;
            }
            i += 1;
        }
        panic!("this fault is not in the list")
    }

    const fn equal(a: &[u8], b: &[u8]) -> bool {
        let mut i = 0;
        while i < a.len() && i < b.len() && a[i] == b[i] {
            i += 1;
        }
        i == a.len() && i == b.len()
    }

    /// The fault that a name switches on; none for no name.
    pub(super) fn named(name: Option<&str>) -> Result<Option<usize>, String> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
        let found = ALL.iter().position(|fault| fault.name == name);
        found.map(Some).ok_or_else(|| format!("ETALON_FAULT names `{name}`, which kernels/src/faults.rs does not list"))
    }

    static PLANTED: LazyLock<Result<Option<usize>, String>> =
        LazyLock::new(|| named(std::env::var("ETALON_FAULT").ok().as_deref()));

    /// The fault that the environment switches on.
    ///
    /// # Panics
    /// If the environment names one that is not in the list; [`check`] says so before.
    #[inline]
    pub fn planted() -> Option<usize> {
        PLANTED.as_ref().copied().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Whether the environment names a fault of the list, or none.
    ///
    /// # Errors
    /// If it names another.
    pub fn check() -> Result<(), String> {
        PLANTED.as_ref().map(drop).map_err(Clone::clone)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_names_of_the_list_are_taken() {
            assert_eq!(named(None), Ok(None));
            assert_eq!(named(Some("")), Ok(None));
            for (place, fault) in ALL.iter().enumerate() {
                assert_eq!(named(Some(fault.name)), Ok(Some(place)));
                assert_eq!(super::place(fault.name), place);
            }
            assert!(named(Some("gemm.no-such-fault")).is_err());
        }
    }
}
