/** Why an administrator's wish about enrolments cannot be fulfilled. Callers compare codes, never text. */
export const ENROLMENT_ERRORS = {
  BAD_NAME: 'a node name has 1 to 255 characters, and no half of a surrogate pair',
  ALREADY_ENROLLED: 'this name is enrolled; rotate gives it a new secret',
  NOT_ENROLLED: 'this name is not enrolled',
  FULL: 'as many names are enrolled as Core can keep',
} as const;

export type EnrolmentErrorCode = keyof typeof ENROLMENT_ERRORS;

export class EnrolmentError extends Error {
  readonly code: EnrolmentErrorCode;
  constructor(code: EnrolmentErrorCode) {
    super(ENROLMENT_ERRORS[code]);
    this.name = 'EnrolmentError';
    this.code = code;
  }
}
