// libtorch's inference mode, which its binding for Rust does not have. No exception leaves these functions: setting the
// state of a thread throws none.

#include <c10/core/InferenceMode.h>

extern "C" void* etalon_inference_begin() { return new c10::InferenceMode(true); }

extern "C" void etalon_inference_end(void* mode) { delete static_cast<c10::InferenceMode*>(mode); }
