/** The outcome of a run of the lab; everything in it is printed. */
export interface LabResult {
  readonly pass: boolean;
  readonly frames: number;
}
