//! What a pass takes of its workspace, held to a formula in its sizes.

use etalon_reference::{Data, Fill, Point, Types};

use etalon_kernels::call::Signature;
use etalon_kernels::gemm::workspace_bytes;
use etalon_kernels::pool::Pool;
use etalon_kernels::recurrent::{BLOCK_ROWS, GAP, line};
use etalon_kernels::registry;
use etalon_kernels::workspace::Workspace;

/// Columns by which a panel's units are filled up, at most.
const PANEL: usize = 32;

/// Bytes of workspace after a call at this point, on one thread.
fn taken(operator: &str, point: &str) -> usize {
    let entry = registry::find(operator).expect("it is registered");
    let point = Point::parse(entry.operator.axes, point).expect("a point");
    let problem = entry.operator.problem(&point).expect("a problem");
    let kernel = entry.default_kernel(&*problem, Types::F32).expect("a kernel");
    let signature = Signature::new(&*problem, Types::F32);
    let inputs = problem.draw(Types::F32, Fill::Real, 1);
    let mut outputs: Vec<Data> =
        problem.outputs(Types::F32).iter().map(|port| Data::zeros(port.dtype, port.layout.span())).collect();
    let inputs: Vec<_> = inputs.iter().map(Data::as_slice).collect();
    let mut outputs: Vec<_> = outputs.iter_mut().map(Data::as_mut).collect();
    let (pool, mut workspace) = (Pool::new(1), Workspace::new());
    let mut call = signature.call(&inputs, &mut outputs, &pool, &mut workspace, None).expect("operands");
    (kernel.run)(&mut call).expect("a pass");
    workspace.bytes()
}

/// Bytes of so many f32, beside what the products take.
fn bytes(elements: usize) -> usize {
    elements * size_of::<f32>() + GAP * size_of::<f32>() + workspace_bytes::<f32>(1)
}

/// The sums of a block of steps, packed weights, and lines of h: whatever the number of steps.
#[test]
fn a_forward_pass_takes_memory_for_a_block_of_steps() {
    for (operator, gates, sums) in [("lstm", 4, 4), ("gru", 3, 4), ("rnn", 1, 1)] {
        for (t, n, h) in [(150, 16, 40), (3, 5, 33), (1, 1, 17), (200, 20, 20)] {
            let found = taken(operator, &format!("t={t},n={n},i=8,h={h},bias=both"));
            let rows = BLOCK_ROWS.max(n).min(t * n);
            let most = rows * line(sums * h) + gates * h * h.next_multiple_of(PANEL) + n * line(h);
            assert!(found <= bytes(most), "{operator} t={t},n={n},h={h}: {found} bytes, at most {}", bytes(most));
        }
    }
}

/// The gradients of all sums, of two kinds in a GRU, packed weights, and three states.
#[test]
fn a_gradient_takes_memory_for_all_steps() {
    for (operator, gates, kinds) in [("lstm_backward", 4, 1), ("gru_backward", 3, 2), ("rnn_backward", 1, 1)] {
        for (t, n, h) in [(50, 16, 40), (3, 5, 33), (1, 1, 17)] {
            let found = taken(operator, &format!("t={t},n={n},i=8,h={h},bias=both"));
            let most = kinds * t * n * line(gates * h) + gates * h * h.next_multiple_of(PANEL) + 3 * n * h;
            assert!(found <= bytes(most), "{operator} t={t},n={n},h={h}: {found} bytes, at most {}", bytes(most));
            // It is no overestimate: dz alone is most of it.
            assert!(found >= kinds * t * n * gates * h * size_of::<f32>(), "{operator}: {found} bytes");
        }
    }
}
