// How kernels over spans of rows begin: an invocation takes the lanes [begin, end) of `row`. Of params: rows, extent,
// width (lanes of a row), span (lanes of an invocation). The body of main goes on behind it.
#include item_start
  let spans = (params.width + params.span - 1u) / params.span;
  let row = index / spans;
  if (row >= rows_in_use(params.rows, params.extent)) {
    return;
  }
  let begin = (index - row * spans) * params.span;
  let end = min(begin + params.span, params.width);
