//! Signatures that are wrong on purpose: they ask for one element too few.

use etalon_kernels::check::Prepared;
use etalon_kernels::check::suite::{Bench, Mode, Question};
use etalon_kernels::isa::Isa;
use etalon_kernels::kernel::Kernel;
use etalon_kernels::registry::{self, Entry};
use etalon_reference::{Data, Fill, Layout, Point, Port, Problem, Tolerance, Types, Unit};
use ndarray::ArrayD;

/// A problem one of whose inputs has a port that is one element shorter than its buffer. It is no operator's, so that
/// no kernel computes it.
#[derive(Debug)]
struct Lenient {
    problem: Box<dyn Problem>,
    input: usize,
}

impl Problem for Lenient {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let mut ports = self.problem.inputs(types);
        let layout = &mut ports[self.input].layout;
        *layout = Layout::contiguous(&[layout.span() - 1]);
        ports
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        self.problem.outputs(types)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        self.problem.reference(inputs)
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.problem.tolerance(types, fill, inputs, expected)
    }

    fn operations(&self) -> (f64, Unit) {
        self.problem.operations()
    }

    fn unread_inputs(&self) -> Vec<usize> {
        self.problem.unread_inputs()
    }
}

/// What is wrong with short buffers of the operator's defaults, if `wrong` makes a problem of its own of them. The
/// kernel writes nothing: whether a call is made at all is what is asked.
fn ask(entry: &Entry, types: Types, wrong: impl FnOnce(Box<dyn Problem>) -> Box<dyn Problem>) -> Result<(), String> {
    let point = Point::default_of(entry.operator.axes);
    let problem = entry.operator.problem(&point).expect("the defaults are valid");
    let inputs: Vec<Data> = problem.draw(types, Fill::Exact, 1);
    let problem = wrong(problem).into();
    let prepared = Prepared::with_inputs(entry.operator, &point, types, Fill::Exact, 1, problem, inputs);
    let idle = Kernel::new("idle", Isa::Scalar, entry.operator.types, |_| Ok(()));
    Bench::new(None).ask(Question::ShortBuffer, &prepared, &idle, Mode { threads: 1, eager: false })
}

#[test]
fn a_signature_that_lets_short_buffers_pass_is_rejected() {
    for entry in registry::ALL {
        for &types in entry.operator.types {
            let name = entry.operator.name;
            assert_eq!(ask(entry, types, |problem| problem), Ok(()), "{name}/{types}");
            let problem = entry.operator.problem(&Point::default_of(entry.operator.axes)).expect("the defaults");
            let (unread, mut asked) = (problem.unread_inputs(), 0);
            for (input, port) in problem.inputs(types).iter().enumerate() {
                let started = problem.outputs(types).iter().any(|output| output.name == port.name);
                if port.layout.is_empty() || unread.contains(&input) || started {
                    continue;
                }
                let complaint = ask(entry, types, |problem| Box::new(Lenient { problem, input })).expect_err(name);
                assert!(complaint.starts_with(&format!("{} is one element too short", port.name)), "{complaint}");
                asked += 1;
            }
            assert!(asked > 0, "{name}/{types}: no input was asked for");
        }
    }
}
