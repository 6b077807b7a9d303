/** Why an administrator's wish about enrolments cannot be fulfilled. Callers compare codes, never text. */
export const ENROLMENT_ERRORS = {
  BAD_NAME: 'a node name has 1 to 255 characters, and no half of a surrogate pair',
  ALREADY_ENROLLED: 'this name is enrolled; rotate gives it a new secret',
  NOT_ENROLLED: 'this name is not enrolled',
  FULL: 'as many names are enrolled as Core can keep',
  NOT_SAVED: 'Core cannot write its state now; try again',
  NO_KEY: 'the key that encrypts secrets cannot be made in the data directory; the log says why',
} as const;

export type EnrolmentErrorCode = keyof typeof ENROLMENT_ERRORS;

export class EnrolmentError extends Error {
  readonly code: EnrolmentErrorCode;
  constructor(code: EnrolmentErrorCode, options?: ErrorOptions) {
    super(ENROLMENT_ERRORS[code], options);
    this.name = 'EnrolmentError';
    this.code = code;
  }
}
