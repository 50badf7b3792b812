//! A character-level model, trained on a text of this repository: embedding, recurrent layers, a softmax over the next
//! character, gradients by backpropagation through time, clipped, and plain descent. The default kernels, the f64
//! references and libtorch do the same steps.
//!
//! The bound of the curves: in a step, a gradient is off by a few hundred roundings, of which a step takes a part; losses
//! of f32 stay within 100·u of those of f64 for each step that is behind them, those of f64 likewise.

use etalon_kernels::call::Signature;
use etalon_kernels::pool::Pool;
use etalon_kernels::registry;
use etalon_kernels::workspace::Workspace;
use etalon_reference::{Data, Point, Types, arrays};

/// Of the repository: what a model can learn from it is that it is English.
const TEXT: &str = include_str!("../../METHODOLOGY.md");

const STEPS: usize = 40;
const RATE: f64 = 0.5;
/// Characters of a sequence.
const T: usize = 12;
/// Sequences.
const N: usize = 8;
/// Elements of an embedding.
const I: usize = 8;
/// Hidden units.
const H: usize = 24;
/// Letters and the space.
const CLASSES: usize = 27;

/// Who computes operators.
#[derive(Clone, Copy)]
enum Engine {
    Kernels(Types),
    Reference,
    #[cfg(feature = "libtorch")]
    Libtorch(Types),
}

impl Engine {
    fn types(self) -> Types {
        match self {
            Engine::Kernels(types) => types,
            Engine::Reference => Types::F64,
            #[cfg(feature = "libtorch")]
            Engine::Libtorch(types) => types,
        }
    }

    /// The outputs of an operator, from inputs that are rounded to its types. Those that are not given are absent.
    fn run(self, operator: &str, point: &str, given: &[&[f64]]) -> Vec<Vec<f64>> {
        let entry = registry::find(operator).expect("an operator");
        let types = self.types();
        let problem = entry.operator.problem(&Point::parse(entry.operator.axes, point).expect("a point"));
        let problem = problem.unwrap_or_else(|error| panic!("{operator}/{point}: {error}"));
        let (inputs, outputs) = (problem.inputs(types), problem.outputs(types));
        let data: Vec<Data> = (inputs.iter().zip(given.iter().chain(std::iter::repeat(&&[][..]))))
            .map(|(port, values)| Data::from_f64(port.dtype, values))
            .collect();
        let found = match self {
            Engine::Kernels(_) => {
                let kernel = entry.default_kernel(&*problem, types).expect("a kernel");
                let mut to: Vec<Data> =
                    outputs.iter().map(|port| Data::zeros(port.dtype, port.layout.span())).collect();
                let from: Vec<_> = data.iter().map(Data::as_slice).collect();
                let mut slices: Vec<_> = to.iter_mut().map(Data::as_mut).collect();
                let (pool, mut workspace) = (Pool::new(2), Workspace::new());
                let signature = Signature::new(&*problem, types);
                let mut call = signature.call(&from, &mut slices, &pool, &mut workspace, None).expect("operands");
                (kernel.run)(&mut call).unwrap_or_else(|error| panic!("{operator}/{point}: {error}"));
                arrays(&outputs, &to)
            }
            Engine::Reference => problem.reference(&arrays(&inputs, &data)),
            #[cfg(feature = "libtorch")]
            Engine::Libtorch(_) => {
                let operator = etalon_reference::ops::find(operator).expect("an operator");
                etalon_reference::torch::outputs(operator, &*problem, types, &data)
                    .unwrap_or_else(|error| panic!("libtorch: {}/{point}: {error}", operator.name))
            }
        };
        let rounded = |(port, array): (&etalon_reference::Port, &ndarray::ArrayD<f64>)| {
            let values: Vec<f64> = array.iter().copied().collect();
            Data::from_f64(port.dtype, &values).to_f64()
        };
        outputs.iter().zip(&found).map(rounded).collect()
    }
}

/// The text's characters by number; what is no letter is a space, and spaces do not repeat.
fn text() -> Vec<usize> {
    let numbers = TEXT.bytes().map(|byte| match byte.to_ascii_lowercase() {
        letter @ b'a'..=b'z' => usize::from(letter - b'a') + 1,
        _ => 0,
    });
    let mut text: Vec<usize> = numbers.collect();
    text.dedup_by(|next, before| *next == 0 && *before == 0);
    text
}

/// Small numbers, the same for all engines.
fn initial(len: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f64 / (1u64 << 24) as f64 - 0.5) * 0.4
    };
    (0..len).map(|_| next()).collect()
}

/// A model: embeddings, parameters of the layers, weights and biases of the classes.
struct Model {
    embedding: Vec<f64>,
    layers: Vec<f64>,
    weights: Vec<f64>,
    biases: Vec<f64>,
}

const LAYERS: &str = "cell=gru,l=2,t=12,n=8,i=8,h=24,bias=both";

impl Model {
    fn new() -> Model {
        let of_layer = |inputs: usize| 3 * H * (inputs + H + 2);
        Model {
            embedding: initial(CLASSES * I, 1),
            layers: initial(of_layer(I) + of_layer(H), 2),
            weights: initial(CLASSES * H, 3),
            biases: vec![0.0; CLASSES],
        }
    }

    /// Embeddings of the characters, T×N×I.
    fn embedded(&self, characters: &[usize]) -> Vec<f64> {
        characters.iter().flat_map(|&c| &self.embedding[c * I..(c + 1) * I]).copied().collect()
    }

    /// One step of descent on characters and what follows each, T×N. Its loss before.
    fn step(&mut self, engine: Engine, characters: &[usize], next: &[usize]) -> f64 {
        let rows = T * N;
        let labels: Vec<f64> = next.iter().map(|&c| c as f64).collect();
        let x = self.embedded(characters);
        let y = engine.run("recurrent_layers", LAYERS, &[&x, &self.layers]).swap_remove(0);
        let product = format!("m={rows},n={CLASSES},k={H},b=t,bias=row");
        let none = vec![0.0; rows * CLASSES];
        let logits = engine.run("gemm", &product, &[&y, &self.weights, &none, &self.biases]).swap_remove(0);
        let loss = format!("n={rows},c={CLASSES},keep=yes");
        let [loss_value, lse] = engine.run("cross_entropy", &loss, &[&logits, &labels]).try_into().expect("two");
        let back = format!("n={rows},c={CLASSES}");
        let dlogits = engine.run("cross_entropy_backward", &back, &[&[1.0], &logits, &labels, &lse]).swap_remove(0);
        let transposed = |product: &str, a: &[f64], b: &[f64], len: usize| {
            engine.run("gemm", product, &[a, b, &vec![0.0; len]]).swap_remove(0)
        };
        let dy = transposed(&format!("m={rows},n={H},k={CLASSES}"), &dlogits, &self.weights, rows * H);
        let dweights = transposed(&format!("m={CLASSES},n={H},k={rows},a=t"), &dlogits, &y, CLASSES * H);
        let ones = vec![1.0; rows];
        let dbiases = transposed(&format!("m=1,n={CLASSES},k={rows}"), &ones, &dlogits, CLASSES);
        let zeros = vec![0.0; 2 * N * H];
        let upstream = [&dy[..], &zeros, &[], &x, &self.layers];
        let mut gradients = engine.run("recurrent_layers_backward", LAYERS, &upstream);
        let (dlayers, dx) = (gradients.swap_remove(1), gradients.swap_remove(0));
        let mut dembedding = vec![0.0; CLASSES * I];
        for (&c, dx) in characters.iter().zip(dx.chunks_exact(I)) {
            dembedding[c * I..(c + 1) * I].iter_mut().zip(dx).for_each(|(sum, dx)| *sum += dx);
        }
        let all = [dembedding, dlayers, dweights, dbiases].concat();
        let clipped = engine.run("clip_norm", &format!("n={},max=1", all.len()), &[&all]).swap_remove(0);
        let values = [&mut self.embedding, &mut self.layers, &mut self.weights, &mut self.biases];
        for (value, gradient) in values.into_iter().flatten().zip(clipped) {
            *value -= RATE * gradient;
        }
        loss_value[0]
    }
}

/// The losses of all steps.
fn curve(engine: Engine) -> (Vec<f64>, Model) {
    let text = text();
    let mut model = Model::new();
    let losses = (0..STEPS).map(|step| {
        // Sequences lie side by side in memory: T×N.
        let at = |shift: usize| {
            let place = |i: usize| (i % N) * (text.len() / N) + step * T + i / N + shift;
            (0..T * N).map(|i| text[place(i) % text.len()]).collect::<Vec<_>>()
        };
        model.step(engine, &at(0), &at(1))
    });
    (losses.collect(), model)
}

fn assert_close(name: &str, found: &[f64], wanted: &[f64], u: f64) {
    for (step, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let most = 100.0 * (step + 1) as f64 * u * wanted;
        assert!((found - wanted).abs() <= most, "{name}, step {step}: {found}, {wanted} expected, within {most:e}");
    }
}

#[test]
fn a_model_of_characters_learns_as_the_references_do() {
    let (wanted, model) = curve(Engine::Reference);
    let guess = (CLASSES as f64).ln();
    assert!((wanted[0] - guess).abs() < 0.2, "before the first step it guesses: {}", wanted[0]);
    assert!(wanted[STEPS - 1] < 0.9 * guess, "it learns: {}", wanted[STEPS - 1]);
    assert_close("kernels, f64", &curve(Engine::Kernels(Types::F64)).0, &wanted, 1e-16);
    assert_close("kernels, f32", &curve(Engine::Kernels(Types::F32)).0, &wanted, 6e-8);
    #[cfg(feature = "libtorch")]
    assert_close("libtorch, f32", &curve(Engine::Libtorch(Types::F32)).0, &wanted, 6e-8);

    // A character by a given uniform number, at a low and at a high temperature, from the classes' scores alone.
    let sample = |temperature: &str, uniform: f64| {
        let point = format!("f=softmax,n=1,c={CLASSES},s=1,temperature={temperature}");
        let shares = Engine::Kernels(Types::F32).run("softmax", &point, &[&model.biases]).swap_remove(0);
        let mut sum = 0.0;
        shares.iter().position(|share| {
            sum += share;
            uniform < sum
        })
    };
    let most = (0..CLASSES).max_by(|&a, &b| model.biases[a].total_cmp(&model.biases[b]));
    assert_eq!(most, Some(0), "spaces are the most frequent");
    assert_ne!(sample("2", 0.99), Some(0));
}
