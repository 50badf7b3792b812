//! `gemm` and `gemm_backward`.

use tch::{IValue, Kind, TchError, Tensor};

use super::script::{Script, arguments};
use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::gemm::{Activation, Gemm, chain};
use crate::ops::gemm_backward::GemmBackward;

pub(super) const GEMM: Twin = Twin { op: "gemm", forward, slack, ways };

pub(super) const GEMM_BACKWARD: Twin =
    Twin { op: "gemm_backward", forward: backward, slack: backward_slack, ways: backward_ways };

fn slack(problem: &dyn Problem) -> f64 {
    let k = downcast::<Gemm>(problem).k;
    (k + 3) as f64 / (chain(k) + 3) as f64
}

fn backward_slack(problem: &dyn Problem) -> f64 {
    let gemm: &GemmBackward = downcast(problem);
    let longest = gemm.m.max(gemm.n);
    (longest + 1) as f64 / (chain(longest) + 1) as f64
}

/// `α·x·y`, for batches. α comes last: `baddbmm` multiplies it with a subnormal factor first, whose rounding the other
/// factor makes large.
fn product(alpha: f64, x: &Tensor, y: &Tensor) -> Result<Tensor, TchError> {
    let product = x.f_bmm(y)?;
    if alpha == 1.0 { Ok(product) } else { product.f_mul_scalar(alpha) }
}

/// f32 of a shorter type; f32 and f64 as they are.
fn wide(x: &Tensor) -> Result<Tensor, TchError> {
    match x.kind() {
        Kind::Float | Kind::Double => Ok(x.shallow_clone()),
        _ => x.f_to_kind(Kind::Float),
    }
}

/// Short types in f32, rounded once.
fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let gemm: &Gemm = downcast(problem);
    let [a, b, c, bias] = &inputs.iter().map(wide).collect::<Result<Vec<_>, _>>()?[..] else { panic!("four inputs") };
    let mut z = product(gemm.alpha, a, b)?;
    if gemm.beta != 0.0 {
        z = z.f_add(&c.f_mul_scalar(gemm.beta)?)?;
    }
    if gemm.bias {
        z = z.f_add(bias)?;
    }
    let out = match gemm.activation {
        Activation::None => z,
        Activation::Relu => z.f_relu()?,
        Activation::Gelu => z.f_gelu("none")?,
    };
    Ok(vec![out.f_to_kind(inputs[2].kind())?])
}

/// In place, on a view of the output.
fn activate(activation: Activation, view: &mut Tensor) -> Result<(), TchError> {
    match activation {
        Activation::None => Ok(()),
        Activation::Relu => view.f_relu_().map(drop),
        Activation::Gelu => view.f_gelu_("none").map(drop),
    }
}

/// A single matrix as a matrix, a batch as it is.
fn matrix(x: &Tensor) -> Result<Tensor, TchError> {
    if x.size()[0] == 1 { x.f_select(0, 0) } else { Ok(x.shallow_clone()) }
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let gemm: &Gemm = downcast(problem);
    let plain = gemm.alpha == 1.0 && gemm.beta == 0.0;
    let [kind, of_c] = [0, 2].map(|i| operands.inputs[i].kind());
    // A short result that another function goes on with is rounded between.
    let steps = gemm.activation != Activation::None || gemm.beta != 0.0 && gemm.bias;
    if kind != of_c || steps && !matches!(kind, Kind::Float | Kind::Double) {
        return Ok(vec![of_wide(gemm, operands)?.tried()?]);
    }
    if kind == Kind::Half && gemm.operations().0 > PLAIN_LOOP && !fast_halves() {
        return Ok(vec![of_wide(gemm, operands)?.tried()?]);
    }
    let mut ways = vec![match (plain, gemm.bias) {
        (true, false) => product_out(gemm, operands)?,
        (true, true) if gemm.batch == 1 => addmm_out(gemm, operands)?,
        _ => scripted_out(gemm, operands)?,
    }];
    if plain && gemm.batch == 1 {
        // Not every libtorch has oneDNN, nor oneDNN every shape.
        ways.extend(onednn(gemm, operands).and_then(Way::tried));
    }
    if !matches!(kind, Kind::Float | Kind::Double) {
        // Where libtorch has no fast product of the type.
        ways.push(of_wide(gemm, operands)?);
    }
    ways.into_iter().map(Way::tried).collect()
}

/// Operations up to which a product by a plain loop is tried beside others.
const PLAIN_LOOP: f64 = 4e6;

/// Whether libtorch multiplies f16 by more than a plain loop, which is never its fastest way where operands are large, and
/// takes seconds: oneDNN asks for instructions that few CPUs have.
fn fast_halves() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512fp16") || is_x86_feature_detected!("avxneconvert");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// `mm`, or `bmm`, which is faster than `mm` where a matrix is a number, too.
fn product_out(gemm: &Gemm, operands: &Operands<'_>) -> Result<Way, TchError> {
    let outputs = operands.outputs()?;
    let activation = gemm.activation;
    if gemm.batch != 1 || gemm.m * gemm.n == 1 {
        let [a, b] = [&operands.inputs[0], &operands.inputs[1]].map(Tensor::shallow_clone);
        let mut c = outputs[0].shallow_clone();
        return Ok(Way::out("bmm_out", outputs, move || {
            let _ = a.f_bmm_out(&c, &b)?;
            activate(activation, &mut c)
        }));
    }
    let (a, b, mut c) = (matrix(&operands.inputs[0])?, matrix(&operands.inputs[1])?, matrix(&outputs[0])?);
    Ok(Way::out("mm_out", outputs, move || {
        let _ = a.f_mm_out(&c, &b)?;
        activate(activation, &mut c)
    }))
}

/// In f32, to which operands are widened in each call: the only product where C is longer than they are.
fn of_wide(gemm: &Gemm, operands: &Operands<'_>) -> Result<Way, TchError> {
    let inputs: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    let gemm = gemm.clone();
    Ok(Way::fresh("bmm of f32", move || forward(&gemm, &inputs)))
}

fn addmm_out(gemm: &Gemm, operands: &Operands<'_>) -> Result<Way, TchError> {
    let outputs = operands.outputs()?;
    let (a, b, mut c) = (matrix(&operands.inputs[0])?, matrix(&operands.inputs[1])?, matrix(&outputs[0])?);
    let bias = operands.inputs[3].shallow_clone();
    let activation = gemm.activation;
    Ok(Way::out("addmm_out", outputs, move || {
        let _ = bias.f_addmm_out(&c, &a, &b)?;
        activate(activation, &mut c)
    }))
}

/// With factors, which `tch` does not pass on for `out=` forms. With β ≠ 0 the bias is an addition of its own.
fn scripted_out(gemm: &Gemm, operands: &Operands<'_>) -> Result<Way, TchError> {
    let outputs = operands.outputs()?;
    let added = if gemm.beta == 0.0 && gemm.bias { "bias" } else { "c" };
    let beta = if added == "bias" { 1.0 } else { gemm.beta };
    let (name, function) = if gemm.batch == 1 { ("addmm.out", "addmm") } else { ("baddbmm.out", "baddbmm") };
    let product = format!("z = torch.{function}({added}, a, b, beta={beta:?}, alpha={:?}, out=c)", gemm.alpha);
    let mut body = vec![product.as_str()];
    if gemm.bias && added == "c" {
        body.push("z = torch.add_(z, bias)");
    }
    match gemm.activation {
        Activation::None => {}
        Activation::Relu => body.push("z = torch.relu_(z)"),
        Activation::Gelu => body.push("z = torch.gelu_(z)"),
    }
    body.push("return z");
    let script = Script::new("a: Tensor, b: Tensor, c: Tensor, bias: Tensor", "Tensor", &body)?;
    let (a, b, c) = (matrix(&operands.inputs[0])?, matrix(&operands.inputs[1])?, matrix(&outputs[0])?);
    let arguments = arguments(&[&a, &b, &c, &operands.inputs[3]]);
    Ok(Way::out(name, outputs, move || script.call(&arguments).map(drop)))
}

/// oneDNN's product with its epilogue, as the graph compiler of libtorch uses it. It has no `out=` form.
fn onednn(gemm: &Gemm, operands: &Operands<'_>) -> Result<Way, TchError> {
    let activation = match gemm.activation {
        Activation::None => "none",
        Activation::Relu => "relu",
        Activation::Gelu => "gelu",
    };
    let call = format!("return ops.mkldnn._linear_pointwise(a, b, bias, \"{activation}\", [], \"none\")");
    let script = Script::new("a: Tensor, b: Tensor, bias: Optional[Tensor]", "Tensor", &[&call])?;
    let (a, b) = (matrix(&operands.inputs[0])?, matrix(&operands.inputs[1])?.f_transpose(0, 1)?);
    let mut arguments = arguments(&[&a, &b]);
    arguments.push(if gemm.bias { IValue::Tensor(operands.inputs[3].shallow_clone()) } else { IValue::None });
    Ok(Way::fresh("mkldnn._linear_pointwise", move || {
        script.call(&arguments)?.into_iter().map(|out| out.f_unsqueeze(0)).collect()
    }))
}

fn backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let gemm: &GemmBackward = downcast(problem);
    let [dy, a, b, z] = inputs else { panic!("four inputs") };
    let dz = match gemm.activation {
        Activation::None => dy.shallow_clone(),
        Activation::Relu => z.f_threshold_backward(dy, 0.0)?,
        Activation::Gelu => z.f_gelu_backward(dy, "none")?,
    };
    let da = product(gemm.alpha, &dz, &b.f_transpose(1, 2)?)?;
    let db = product(gemm.alpha, &a.f_transpose(1, 2)?, &dz)?;
    let dbias = if gemm.bias {
        dz.f_sum_dim_intlist([0i64, 1].as_slice(), false, None::<Kind>)?
    } else {
        dz.f_new_empty([0], (dz.kind(), dz.device()))?
    };
    Ok(vec![dz, da, db, dbias])
}

/// Without activation dz is dy itself: libtorch copies nothing.
fn backward_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let gemm: &GemmBackward = downcast(problem);
    let mut outputs = operands.outputs()?;
    let [dy, a, b, z] = [0, 1, 2, 3].map(|i| operands.inputs[i].shallow_clone());
    if gemm.activation == Activation::None {
        outputs[0] = dy.shallow_clone();
    }
    let (a, b, dz, mut da, mut db) =
        (matrix(&a)?, matrix(&b)?, matrix(&outputs[0])?, matrix(&outputs[1])?, matrix(&outputs[2])?);
    let (at, bt) = (a.f_transpose(-2, -1)?, b.f_transpose(-2, -1)?);
    let (all_dz, dbias) = (outputs[0].shallow_clone(), outputs[3].shallow_clone());
    let GemmBackward { alpha, bias, activation, .. } = *gemm;
    let way = Way::out("matmul_out", outputs, move || {
        match activation {
            Activation::None => {}
            Activation::Relu => z.f_threshold_backward_grad_input(&all_dz, &dy, 0.0).map(drop)?,
            Activation::Gelu => z.f_gelu_backward_grad_input(&all_dz, &dy, "none").map(drop)?,
        }
        let _ = dz.f_matmul_out(&da, &bt)?;
        let _ = at.f_matmul_out(&db, &dz)?;
        if alpha != 1.0 {
            let _ = da.f_mul_scalar_(alpha)?;
            let _ = db.f_mul_scalar_(alpha)?;
        }
        if bias {
            let _ = all_dz.f_sum_intlist_out(&dbias, [0i64, 1].as_slice(), false, None::<Kind>)?;
        }
        Ok(())
    });
    Ok(vec![way.tried()?])
}
