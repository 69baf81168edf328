/** Where every rollback is carried out [product.md 5]. */
export const TASK_QUEUE = 'backout';
