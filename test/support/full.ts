/** Whether this is the long run, `./fairlead test full`: some tests wait for real times in it alone. */
export const IS_FULL: boolean = process.env["FAIRLEAD_FULL"] === "1";
