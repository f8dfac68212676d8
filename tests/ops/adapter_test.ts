/** Low-rank adapters of stacked layers against float64. */
import { adapterCases } from "../cases/adapter.ts";
import { testCases } from "../harness.ts";

testCases(adapterCases);
